"""script/faults: what happens to a shop when things break.

stage       a shop in a temporary folder: filled, started, killed, started again
person      somebody who uses it over HTTP and knows which of their requests were answered
clerks      such people in processes of their own, who write at random and note what they were told
books       what must be true of a shop's database, whatever happened to it
kills       kill -9 at random moments, while people write
crowd       more people at once than any shop has staff
restarts    workers that are renewed and a server that is restarted, while people work
slow        clients that send half a request, or do not take their answer
full        a disk without room
"""

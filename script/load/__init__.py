"""script/bench: what one machine carries.

machine     processes: started, stopped, their memory and processor time
stage       databases filled by `flask demo`, servers started by `script/serve`
town        what the load needs of a filled shop: links, codes, a signed-in member of staff
cells       what is asked for: a cell is one kind of request
wrk         the load of a cell (wrk, rotate.lua)
statements  how many SQL statements an answer takes, counted apart from the load
rounds      the cells one after another, some rounds of it, and what comes out in the middle
pages       customers' pages that poll as a browser does: how many, and how soon they show a change
budgets     what was promised, and whether it holds
paper       what more machines would carry, computed from what was measured
found       all that a run has found
report      the tables
"""

"""A believable shop for an empty database: to look around in, to take pictures of, to measure with.

Who and what is in the tables; a repair's history is a story, played by the rules, laid on the shop's
opening hours. The same every time, but for the tokens and for times, which go back from now.
"""

import gc
import heapq
import random
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from functools import cache
from itertools import accumulate
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import func, insert, select

from . import auth, formats, rules
from .db import db, utcnow
from .models import Branch, Customer, Event, Repair, Shop, Staff, customer_search, repair_search
from .rules import Kind, Role, Status

PASSWORD = "brass-lamp-on-the-bench"  # noqa: S105 (not a secret: it opens nothing but the demo, which prints it)
LISTED = 50
BATCH = 2_000
ZONE = "Europe/London"
OPENS, CLOSES = time(9), time(18)
OPEN_DAY = (CLOSES.hour - OPENS.hour) * 3600
SUNDAY = 6
YEARS = 5

# The phone numbers are of the ranges that Ofcom keeps for drama: they ring nowhere.
SHOP = {
    "name": "Tailor & Hart Repairs",
    "code": "TH",
    "country": "GB",
    "timezone": ZONE,
    "currency": "GBP",
    "phone": "+442079460120",
    "whatsapp": "+447700900001",
    "address": "14 Lantern Row\nLondon N1 0ZZ",
}
BRANCHES = (
    {"name": "Main Street", "code": "MN"},
    {
        "name": "Riverside",
        "code": "RV",
        "phone": "+442079460277",
        "whatsapp": "+447700900002",
        "address": "Unit 3, Old Rope Works\n27 Wharf Walk\nLondon SE1 0ZZ",
    },
)


class Person(NamedTuple):
    """A member of staff; branch: position in BRANCHES, None for one who works at both."""

    name: str
    role: Role
    branch: int | None


STAFF = (
    Person("Eleanor Hart", Role.OWNER, None),
    Person("Marcus Tailor", Role.MANAGER, 0),
    Person("Mei-Ling Chow", Role.TECHNICIAN, 0),
    Person("Kwame Mensah", Role.TECHNICIAN, 0),
    Person("Zofia Nowak", Role.TECHNICIAN, 1),
    Person("Samira Haddad", Role.FRONT_DESK, 0),
    Person("Tom Ellery", Role.FRONT_DESK, 1),
)
STAFF_IDS = {person.name: number for number, person in enumerate(STAFF, start=1)}

# First words of names | second words that go with them.
NAMES = tuple(
    tuple(names.split() for names in line.split("|"))
    for line in """
        Oliver Amelia Harry Grace George Isla Arthur Florence | Whitfield Barlow Ashcroft Penrose Hale Marlow Reeve
        Amara Chidi Ngozi Emeka Folake Tunde Adaeze Ifeoma | Okafor Adeyemi Eze Balogun Nwosu Obi Afolabi
        Priya Arjun Ananya Rohan Kavya Vikram Meera Sanjay | Raman Iyer Sharma Patel Banerjee Kulkarni Nair
        Mateo Lucía Diego Inés Santiago Carmen Álvaro Paloma | García Fernández Ibáñez Ortega Núñez Vidal Castaño
        Wei Xiu Jun Lan Hao Ying Ming Fang | Zhang Chen Liu Huang Zhao Lin Wu
        Agnieszka Piotr Kasia Tomasz Zuzanna Paweł Magda Jan | Nowicka Wójcik Mazur Krawczyk Dudek Sikora Pawlak
        Fatima Yusuf Leila Omar Zainab Ibrahim Noor Hamza | Rahman Hussain Khalil Siddiqui Aziz Malik Farah
        Aoife Cian Niamh Oisín Saoirse Declan Róisín Eoin | Byrne Gallagher Doyle Keane Nolan Brennan Quinn
        Elif Mehmet Ayşe Emre Zeynep Burak Defne Can | Yılmaz Demir Şahin Öztürk Kaya Aydın Arslan
        Linh Minh Huong Duc Trang Quang Mai Tuan | Nguyen Tran Pham Hoang Dang Bui Vo
        ليلى يوسف مريم كريم سلمى طارق | حداد منصور خليل نصار الخطيب
        נועה אורי תמר יונתן שירה | לוי כהן מזרחי פרידמן ביטון
        佐藤 鈴木 高橋 田中 | さくら 健太 陽子 大輔
    """.strip().splitlines()
)
# Mobile numbers first: Ofcom's thousand for drama, less a hundred for the tables here. Then 01632, an area
# code of nowhere: a large shop needs more customers than drama has telephones.
MOBILES = 900
PHONES = MOBILES + 1_000_000


class Fault(NamedTuple):
    """What can be wrong: in the customer's words, in a note, in an update; the part; the price in pounds."""

    problem: str
    found: str
    told: str
    part: str
    price: tuple[int, int]


class Goods(NamedTuple):
    """A kind of thing that people bring. parts: how often; serial: what it starts with, how many figures follow."""

    parts: int
    items: tuple[str, ...]
    serial: tuple[str, int]
    accessories: tuple[str, ...]
    faults: tuple[Fault, ...]


GOODS = (
    Goods(
        6,
        ("iPhone 12", "iPhone 13", "iPhone 14 Pro", "iPhone SE", "Pixel 7", "Pixel 8a", "Galaxy S22", "Galaxy A54",
         "Fairphone 5", "Xperia 10 V"),
        ("35", 13),
        ("", "", "Case", "Case and SIM tray pin", "Charger and cable", "Clear case, screen protector"),
        (
            Fault("Screen cracked after a fall; touch works at the top only.",
                  "Digitiser torn at the lower flex. Frame straight, no liquid.",
                  "The new screen is fitted and sealed.", "the screen", (89, 240)),
            Fault("Battery lasts half a day and the phone gets warm.",
                  "Battery at 74 % health, slightly swollen. Charging circuit draws normally.",
                  "The new battery is in; we are running it through a full charge.", "the battery", (49, 95)),
            Fault("Does not charge unless the cable is held at an angle.",
                  "Port full of lint, two contacts corroded. Cleaned; still loose.",
                  "The charging port has been replaced and charges at full speed.", "the charging port", (45, 90)),
            Fault("Fell into the sink. Turns on, but the speaker crackles.",
                  "Liquid indicator red. Corrosion at the speaker connector only, board clean under the microscope.",
                  "The board has been cleaned and dried; a new speaker is fitted.", "the speaker", (60, 140)),
            Fault("Rear camera will not focus, everything is blurred.",
                  "Focus motor stuck. Lens glass intact.",
                  "The new camera is fitted and focuses near and far.", "the camera module", (70, 160)),
        ),
    ),
    Goods(
        5,
        ("ThinkPad X1 Carbon", "ThinkPad T480", "MacBook Air M1", "MacBook Pro 14", "Dell XPS 13", "HP EliteBook 840",
         "Framework Laptop 13", "Asus Zenbook 14", "Acer Swift 3"),
        ("PF", 8),
        ("", "Charger", "Charger and sleeve", "Charger, USB-C dock", "Bag and charger"),
        (
            Fault("Gets very hot and then very slow.",
                  "Heat sink packed with dust, paste dried out. Disk is healthy.",
                  "Cleaned inside and fitted with new thermal paste; it runs cool now.", "a heat sink", (55, 95)),
            Fault("Tea spilt over the keyboard. Some keys type twice.",
                  "Keyboard sticky, liquid stopped at the membrane. Board dry.",
                  "The new keyboard is in and every key has been tried.", "the keyboard", (95, 210)),
            Fault("Screen stays black, but an external monitor works.",
                  "Display cable worn through at the hinge. Panel is fine on a test cable.",
                  "The display cable has been replaced and the hinge adjusted.", "the display cable", (80, 170)),
            Fault("Will not start since the last update. The photos on it matter.",
                  "Disk reads with errors. Took an image first: all of the user's folder came off.",
                  "Your files are safe on our disk. We are setting up the new drive.", "the drive", (120, 260)),
            Fault("Runs for twenty minutes without the charger.",
                  "Battery at 41 % of its capacity after 900 cycles. Charger is fine.",
                  "The new battery is in; we are running it through a full charge.", "the battery", (85, 160)),
        ),
    ),
    Goods(
        4,
        ("Brompton C Line", "Trek FX 2", "Specialized Sirrus", "Dawes Galaxy", "Ribble CGR", "Pashley Roadster",
         "Cannondale Topstone", "Islabikes Beinn 24"),
        ("WTU", 7),
        ("", "", "Lock and key", "Front light", "Panniers", "Bottle cage, rear light"),
        (
            Fault("Gears slip when going uphill.",
                  "Chain stretched past 0.75 %, three middle sprockets hooked.",
                  "A new chain and sprockets are on, and the gears are set.", "the sprockets", (60, 130)),
            Fault("Brakes squeal and hardly hold in the wet.",
                  "Pads contaminated, rear cable frayed.",
                  "New pads and a rear cable are on and bedded in.", "the brake pads", (45, 95)),
            Fault("Rear wheel is buckled after a pothole, two spokes broken.",
                  "Rim true within 2 mm after tension; hub bearings smooth.",
                  "The wheel has new spokes and runs true.", "the spokes", (35, 80)),
            Fault("Creaks with every turn of the pedals.",
                  "Bottom bracket has play; shell threads are clean.",
                  "The new bottom bracket is in and the creak is gone.", "the bottom bracket", (50, 110)),
        ),
    ),
    Goods(
        1,
        ("Gazelle Ultimate e-bike", "Tern GSD e-bike", "Raleigh Motus e-bike", "Brompton Electric"),
        ("EB", 8),
        ("", "Battery key", "Charger, battery key", "Panniers, lock"),
        (
            Fault("Motor cuts out after a few minutes.",
                  "Speed sensor intermittent at the connector. Battery holds 91 %.",
                  "The speed sensor is replaced; we are taking it for a longer ride.", "the speed sensor", (75, 180)),
            Fault("Display stays dark, although the battery is charged.",
                  "Display cable crushed under the bar clamp.",
                  "The new cable is laid and the display comes on.", "the display cable", (60, 120)),
        ),
    ),
    Goods(
        2,
        ("Omega Seamaster 1968", "Seiko 5", "Rotary pocket watch", "Hamilton Khaki Field", "Tudor Prince Oysterdate"),
        ("M", 7),
        ("", "", "Box", "Spare links", "Box and papers"),
        (
            Fault("Gains about ten minutes a day.",
                  "Magnetised, amplitude 210° dial up. Oils dry throughout.",
                  "The movement is cleaned, oiled and set; it is on the timing machine.", "a mainspring", (120, 280)),
            Fault("Stops during the night, wherever it lies.",
                  "Mainspring set, barrel dry. Train runs free.",
                  "The new mainspring is in, and the watch has run for two days.", "the mainspring", (95, 190)),
        ),
    ),
    Goods(
        2,
        ("Casio G-Shock", "Citizen Eco-Drive", "Tissot PRX", "Swatch Irony", "Longines Conquest"),
        ("Q", 7),
        ("", "", "Box", "Spare links"),
        (
            Fault("Stopped. A new battery made no difference.",
                  "Coil open circuit. Train runs free.",
                  "The new coil is fitted and the watch runs.", "the coil", (55, 110)),
            Fault("Mist under the glass after swimming.",
                  "Case gasket perished. No rust yet.",
                  "New seals are in. It goes into the pressure test next.", "the seals", (45, 90)),
            Fault("Glass scratched right across the dial.",
                  "Too deep to polish. Dial untouched.",
                  "The new glass is fitted and sealed.", "the glass", (45, 95)),
        ),
    ),
    Goods(
        1,
        ("Yamaha YCL-255 clarinet", "Trevor James flute", "Jupiter alto saxophone", "Howarth S10 oboe"),
        ("J", 6),
        ("Case", "Case, cleaning rod", "Case, music stand"),
        (
            Fault("Some notes will not speak, the lowest ones not at all.",
                  "Two pads leak, cork on the lowest key gone.",
                  "The pads are seated again and every note speaks.", "a set of pads", (50, 140)),
            Fault("A key sticks since it was stored in the loft.",
                  "Pivot rusted, spring tired.",
                  "The action moves freely and has been regulated.", "the spring", (40, 100)),
        ),
    ),
    Goods(
        1,
        ("Stentor violin 4/4", "Martin 000-15M guitar", "Cello, Czech, about 1950", "Cordoba C5 guitar"),
        ("", 6),
        ("Case", "Soft case", "Hard case, spare strings"),
        (
            Fault("Crack in the top next to the bridge, as long as a finger.",
                  "Open crack of 6 cm, no loose bar. Humidity in the case below 30 %.",
                  "The crack is glued and cleated; it stays in clamps until it has set.", "the cleats", (110, 260)),
            Fault("Buzzes when played loud, on the low strings.",
                  "Seam open at the lower bout, nut worn.",
                  "The seam is closed and a new nut is cut.", "the nut", (45, 120)),
        ),
    ),
    Goods(
        1,
        ("Fender Stratocaster", "Nord Electro keyboard", "Fender Jazz Bass", "Roland FP-30 piano"),
        ("E", 8),
        ("", "Gig bag", "Hard case"),
        (
            Fault("No sound from the output, or only when the plug is moved.",
                  "Jack socket cracked off its solder.",
                  "The new socket is soldered in and quiet.", "the jack socket", (45, 95)),
            Fault("The volume knob scratches and jumps.",
                  "Potentiometer worn; cleaning helped for an hour.",
                  "The new potentiometer is in.", "the potentiometer", (35, 80)),
        ),
    ),
)  # fmt: skip

# What is said at a word of a story, where the fault does not say it.
SAYINGS = {
    "slip": (
        "The fault took longer to find than we thought.",
        "The part arrives later than the supplier said.",
        "We want to test it for another day before you rely on it.",
    ),
    "undo": ("Pressed by mistake.", "Failed the last check, back on the bench.", ""),
    "cancel_told": (
        "A repair would cost more than the item is worth.",
        "The part is no longer made, and none is to be found second-hand.",
        "Cancelled as you asked on the phone.",
    ),
    "cancel_quiet": ("Customer found a cheaper offer.", "No answer after three calls and a letter."),
}


class Plan(NamedTuple):
    """A story that many repairs share. parts: how often; days: since intake if open, else to its end;
    due: when it is promised, in days from today, if open."""

    parts: int
    story: str
    days: tuple[float, float]
    due: tuple[int, int] = (1, 5)


CLOSED = (
    Plan(17, "promise diagnosing repairing testing ready delivered", (1, 6)),
    Plan(10, "diagnosing repairing testing ready delivered", (1, 6)),
    Plan(28, "promise repairing ready delivered", (0.3, 4)),
    Plan(10, "promise diagnosing note repairing tell testing ready delivered", (1, 7)),
    Plan(4, "promise diagnosing note pause part slip resume repairing testing ready delivered", (6, 14)),
    Plan(5, "diagnosing repairing pause part resume testing ready delivered", (5, 14)),
    Plan(3, "promise diagnosing slip repairing testing ready delivered", (4, 10)),
    Plan(14, "ready delivered", (0.05, 0.5)),
    Plan(2, "promise diagnosing repairing testing undo testing ready delivered", (2, 7)),
    Plan(3, "promise diagnosing note cancel_told", (1, 6)),
    Plan(2, "promise diagnosing pause part cancel_quiet", (4, 20)),
    Plan(2, "cancel", (0.1, 2)),
)
OPEN = (
    Plan(5, "", (0.05, 1)),
    Plan(12, "promise", (0.05, 1.2), (1, 7)),
    Plan(10, "promise diagnosing", (0.3, 3), (0, 5)),
    Plan(7, "diagnosing note", (0.3, 3)),
    Plan(16, "promise diagnosing note repairing tell", (1, 6), (0, 4)),
    Plan(7, "promise diagnosing repairing", (4, 7), (-2, -1)),
    Plan(3, "promise diagnosing note slip repairing", (6, 9), (-1, -1)),
    Plan(4, "promise repairing testing undo tell", (1, 4), (1, 3)),
    Plan(10, "promise diagnosing note repairing testing", (2, 6), (0, 2)),
    Plan(7, "promise diagnosing note pause part", (3, 10), (1, 8)),
    Plan(6, "diagnosing repairing pause part", (3, 12)),
    Plan(13, "promise diagnosing repairing testing ready", (4, 9), (-2, 1)),
)
# How long a word of a story takes, beside the others. What the desk writes at intake takes no time.
PACE = {"received": 0, "promise": 0, "note": 0.4, "tell": 0.4, "part": 0.2, "resume": 4, "ready": 0.5, "delivered": 2}


class Case(NamedTuple):
    """A repair written by hand. due: promises in days from today; story: (open hours ago, word, what is said)."""

    customer: tuple[str, str, str]
    branch: int
    technician: str
    item: str
    problem: str
    serial: str
    accessories: str
    estimate: int | None
    due: tuple[int, ...]
    story: tuple[tuple, ...]


CASES = (
    # Under way, with a countdown.
    Case(
        ("Amara Okafor", "+447700900011", "amara.okafor@example.com"), 0, "Mei-Ling Chow",
        "iPhone 13", "Screen cracked after a fall; touch works at the top only.", "356789104417236", "Leather case",
        18900, (1,),
        (
            (16, "received"),
            (16, "promise"),
            (16, "remark", "Wants the old screen back."),
            (13.5, "diagnosing"),
            (12, "note", "Digitiser torn at the lower flex. Frame straight, no liquid."),
            (4, "repairing"),
            (1.2, "tell", "The new screen is fitted. We let the seal set before we test it."),
        ),
    ),
    # Waits for a part, with a promise that was moved.
    Case(
        ("Priya Ramanathan", "+447700900012", "priya.ramanathan@example.com"), 0, "Kwame Mensah",
        "ThinkPad X1 Carbon", "Tea spilt over the keyboard. Some keys type twice, and the space bar not at all.",
        "PF2K91TX", "Charger, grey sleeve", 16500, (1, 4),
        (
            (40, "received"),
            (40, "promise"),
            (35, "diagnosing"),
            (33, "note", "Keyboard sticky, liquid stopped at the membrane. Board dry."),
            (32, "repairing"),
            (31, "pause"),
            (30.5, "part", "We have ordered a new keyboard with a British layout. It usually takes three days."),
            (6, "slip", "The supplier sent a keyboard with a German layout; the right one is on its way."),
        ),
    ),
    # Just turned ready.
    Case(
        ("Hugh Penrose", "+447700900013", ""), 0, "Mei-Ling Chow",
        "Omega Seamaster 1968", "Gains about ten minutes a day. My grandfather's, please be gentle.", "M2217 0946",
        "Box", 24000, (0,),
        (
            (52, "received"),
            (52, "promise"),
            (46, "diagnosing"),
            (45, "note", "Magnetised, amplitude 210° dial up. Oils dry throughout. No polishing: customer's wish."),
            (30, "repairing"),
            (10, "tell", "The movement has been cleaned and oiled. It runs on the timing machine for a day."),
            (9, "testing"),
            (0.1, "ready"),
        ),
    ),
    # Late, after one promise was moved already.
    Case(
        ("Tomasz Wójcik", "+447700900014", "tomasz.wojcik@example.com"), 1, "Zofia Nowak",
        "Gazelle e-bike", "Motor cuts out after a few minutes, mostly uphill.", "GZ2104417", "Battery key, panniers",
        14500, (-3, -1),
        (
            (54, "received"),
            (54, "promise"),
            (50, "diagnosing"),
            (47, "note", "Speed sensor intermittent at the connector. Battery holds 91 %."),
            (30, "slip", "The motor's maker has to release a software update first."),
            (14, "repairing"),
            (2.5, "note", "Still cuts out under load. Asked Gazelle's support, ticket open."),
        ),
    ),
    # Waits for a part, and nobody can say how long. A name from right to left.
    Case(
        ("ליאורה בן־דוד", "+447700900015", ""), 1, "Zofia Nowak",
        "Yamaha YCL-255 clarinet", "Some notes will not speak, the lowest ones not at all.", "J04417",
        "Case, two reeds", 9500, (),
        (
            (33, "received"),
            (26, "diagnosing"),
            (25, "note", "Two pads leak, tenon cork crumbles. Bell key bent."),
            (24, "pause"),
            (23.8, "part", "We have ordered a set of pads. We name a date when the maker does."),
        ),
    ),
    # Due today; was taken for finished too early.
    Case(
        ("Yusuf Al-Khatib", "+447700900016", "yusuf@example.com"), 0, "Kwame Mensah",
        "Pixel 8a", "Does not charge unless the cable is held at an angle.", "358812203346170", "", 7000, (0,),
        (
            (11, "received"),
            (11, "promise"),
            (9, "repairing"),
            (4, "testing"),
            (2, "undo", "Charges slowly on one side of the plug. Back to the bench."),
            (1.9, "tell", "Our check found one contact that was not perfect, so we are doing it again."),
        ),
    ),
    # Cancelled; the customer reads why.
    Case(
        ("Lucía Fernández de Córdoba y Álvarez-Castellanos", "+447700900017", "lucia@example.com"), 0, "Mei-Ling Chow",
        "Galaxy S22", "Was in the sea for some minutes. Dead.", "351190087743210", "SIM card left in", None, (),
        (
            (28, "received"),
            (24, "diagnosing"),
            (21, "note", "Salt through the whole board, power chip gone."),
            (20, "cancel_told", "Salt water has reached the main board. A repair would not last."),
        ),
    ),
    # Cancelled; why is not the customer's to read.
    Case(
        ("Graham Sutcliffe", "+447700900018", "g.sutcliffe@example.com"), 1, "Zofia Nowak",
        "Trek FX 2", "Gears slip when going uphill.", "WTU3301842", "Lock, no key", 8500, (-2,),
        (
            (60, "received"),
            (60, "promise"),
            (55, "diagnosing"),
            (54, "note", "Frame number was filed off and then stamped again. Told Marcus."),
            (40, "cancel_quiet", "Frame number tampered with, no receipt. Police reference in the book."),
        ),
    ),
    # Cancelled without a word.
    Case(
        ("Ngozi Balogun", "+447700900019", ""), 0, "", "Casio G-Shock", "Strap pin lost.", "", "", 1500, (),
        ((9.5, "received"), (9.2, "cancel")),
    ),
    # Handed back yesterday, after a pause.
    Case(
        ("Chen Xiaoming", "+447700900020", "xiaoming.chen@example.com"), 1, "Zofia Nowak",
        "Brompton C Line", "Creaks with every turn of the pedals.", "2108170441", "Front bag", 7900, (-2,),
        (
            (58, "received"),
            (58, "promise"),
            (52, "diagnosing"),
            (51, "pause"),
            (50.5, "part", "We have ordered a bottom bracket; it should be here tomorrow."),
            (36, "resume"),
            (34, "edit", "price estimate (was: 65.00)"),
            (33, "repairing"),
            (29, "testing"),
            (28, "ready"),
            (27, "link"),
            (16, "delivered"),
        ),
    ),
    # Jumped ahead; a customer from abroad.
    Case(
        ("Camille Lefèvre", "+33639981234", "camille.lefevre@example.com"), 0, "Kwame Mensah",
        "Fairphone 5", "Battery lasts half a day. I fly home on Sunday.", "352001449876125", "", 4900, (1,),
        (
            (3, "received"),
            (3, "promise"),
            (2.6, "repairing"),
            (1.1, "testing"),
        ),
    ),
    # Just came in, with much to say and no promise.
    Case(
        ("Rosalind Ashworth-Bellingham", "+447700900021", "r.ashworth@example.com"), 1, "",
        "Violin, Mirecourt, about 1890",
        "It was played every week until the spring and then lay in its case over the summer, in a room that is "
        "heated by a stove. When I took it out again the E string had gone, the bridge leaned forward, and there is "
        "now a thin line in the varnish from the lower wing of the f-hole on the treble side almost to the edge. It "
        "may only be the varnish. It buzzes on the open G and on nothing else, more in the evening than in the "
        "morning.\n\n"
        "Please do not take off the top before you have talked to me. The bow is my daughter's and only needs new "
        "hair. The chin rest was a present; if it has to be replaced, I should like it back.",
        "Label: Nicolas aîné", "Case, two bows, chin rest, shoulder rest, spare strings in the lid pocket", None, (),
        (
            (0.6, "received"),
            (0.6, "remark", "Two bows: one needs hair. She calls on Thursday about the price."),
        ),
    ),
)  # fmt: skip


class NotEmpty(Exception):
    """There is something in the database already. The text is a sentence for the person at the terminal."""


def fill(count: int, *, public_url: str) -> dict:
    """Fills the empty database with a shop and that many repairs, and commits once, at the end.

    Gives the owner's sign-in, the staff (one password for all), and up to 50 repairs: those written by
    hand, then the newest. Raises NotEmpty.
    """
    password_hash = auth.hash_password(PASSWORD)
    _demand_empty()
    clock = Clock(utcnow())
    book = Book(visits(count, clock), clock)
    _open_shop(password_hash, public_url, clock.at(_span(count)) - timedelta(days=1))
    connection = db.session.connection()
    with _no_search_for_cycles():
        for page in book.pages():
            for model, rows in zip((Customer, Repair, Event), page, strict=True):
                # The table, not the model: the mapper's ways would take four times as long.
                if rows:
                    connection.execute(insert(model.__table__), rows)
    for branch, number in zip(db.session.scalars(select(Branch).order_by(Branch.id)), book.numbers, strict=True):
        branch.next_number = number
    _set_sequences()
    db.session.commit()
    return {
        "login": {"email": _email(STAFF[0].name), "password": PASSWORD},
        "staff": [{"name": who.name, "role": who.role.value, "email": _email(who.name)} for who in STAFF],
        "repairs": [
            {
                "code": repair["code"],
                "status": repair["status"],
                "token": repair["token"],
                "url": f"{public_url}/t/{repair['token']}",
            }
            for repair in book.listed()
        ],
    }


def describe(made: dict) -> str:
    """What a person wants to know of what fill() made: how to sign in, and which links to look at."""
    first_of_role = {person["role"]: person["email"] for person in reversed(made["staff"])}
    under_way = (Status.REPAIRING, Status.TESTING, Status.DIAGNOSING)
    tour = {
        "Under way": next((r["url"] for r in made["repairs"] if r["status"] in under_way), None),
        "Waiting for a part": next((r["url"] for r in made["repairs"] if r["status"] == Status.WAITING_PARTS), None),
        "Ready": next((r["url"] for r in made["repairs"] if r["status"] == Status.READY), None),
    }
    lines = [f"  {SHOP['name']} is open. Sign in as"]
    lines += [f"    {role.label:<20}{first_of_role[role]}" for role in Role]
    lines += [f"    {'Password, for all':<20}{made['login']['password']}", "", "  What customers see"]
    lines += [f"    {title:<20}{url}" for title, url in tour.items() if url]
    return "\n".join(lines)


# --- time ---------------------------------------------------------------------------------------


class Clock:
    """Turns "so many open seconds ago" into moments of the shop's opening hours, Sundays left out."""

    def __init__(self, now: datetime):
        self.now = now
        self._here = here = now.astimezone(ZoneInfo(ZONE))
        midnight = formats.day_bounds(ZONE, now)[0]
        opened = datetime.combine(here.date(), OPENS, here.tzinfo).astimezone(UTC)
        # Who tries the demo at night or on a Sunday finds the shop open for two hours all the same.
        self._today = int((now - max(midnight, min(opened, now - timedelta(hours=2)))).total_seconds())
        days = (here.date() - timedelta(days=back) for back in range(1, (YEARS + 1) * 366))
        self._closings = [
            datetime.combine(day, CLOSES, here.tzinfo).astimezone(UTC) for day in days if day.weekday() != SUNDAY
        ]

    def at(self, ago: int) -> datetime:
        """The moment so many open seconds ago."""
        if ago <= self._today:
            return self.now - timedelta(seconds=ago)
        day, seconds = divmod(ago - self._today, OPEN_DAY)
        return self._closings[day] - timedelta(seconds=seconds)

    def evening(self, days: int) -> datetime:
        """Closing time in so many days, or on the next one if that is a Sunday. Today's is still ahead at any hour."""
        if days and (self._here + timedelta(days=days)).weekday() == SUNDAY:
            days += 1 if days > 0 else -1
        evening = formats.pick("today", ZONE, self._here + timedelta(days=days)).astimezone(UTC)
        if days or evening > self.now + timedelta(hours=1):
            return evening
        later = (self.now + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
        return min(later, formats.day_bounds(ZONE, self.now)[1].astimezone(UTC) - timedelta(seconds=1))


def _span(count: int) -> int:
    """How long the shop has been open, in open seconds: five weeks for a small one, years for a large one."""
    return min(YEARS * 300, 30 + count // 40) * OPEN_DAY


# --- stories ------------------------------------------------------------------------------------


class Beat(NamedTuple):
    """A word of a story, played: the event it becomes, but for when, who and what is said."""

    word: str
    kind: str
    old: str | None
    new: str | None
    role: str
    public: bool = False
    # Nothing yet, but the rules read them.
    at: None = None
    text: str = ""


class Outline(NamedTuple):
    """A story, played: its events and where it leads. pace: how long each takes, beside the others."""

    beats: tuple[Beat, ...]
    status: str
    paused_from: str | None
    pace: tuple[float, ...]
    promises: int


# The words that move nothing: what they become, who says them, whether the customer reads them.
WORDS = {
    "promise": (Kind.PROMISED, Role.FRONT_DESK, False),
    "slip": (Kind.PROMISED, Role.FRONT_DESK, True),
    "remark": (Kind.NOTED, Role.FRONT_DESK, False),
    "note": (Kind.NOTED, Role.TECHNICIAN, False),
    "tell": (Kind.UPDATED, Role.TECHNICIAN, True),
    "part": (Kind.UPDATED, Role.FRONT_DESK, True),
    "edit": (Kind.EDITED, Role.FRONT_DESK, False),
    "link": (Kind.LINK_REPLACED, Role.MANAGER, False),
}


@cache
def outline(story: str) -> Outline:
    """Plays a story, from intake on. Its words: those of WORDS, statuses to go to, pause, resume, undo, cancel…

    Raises rules.Refused for a story that could not happen.
    """
    beats = [Beat("received", Kind.RECEIVED.value, None, Status.RECEIVED.value, Role.FRONT_DESK.value)]
    status, held = Status.RECEIVED, None
    for word in story.split():
        if word in WORDS:
            kind, role, public = WORDS[word]
            beats.append(Beat(word, kind.value, None, None, role.value, public))
            continue
        kind, new, role = _turn(word, status, held, beats)
        beats.append(Beat(word, kind.value, status.value, new.value, role.value, word == "cancel_told"))
        status, held = new, rules.paused_from(rules.standing_moves(beats))
    return Outline(
        beats=tuple(beats),
        status=status.value,
        paused_from=held.value if held else None,
        pace=tuple(PACE.get(beat.word, 1) for beat in beats),
        promises=sum(beat.kind == Kind.PROMISED for beat in beats),
    )


def _turn(word, status, held, beats) -> tuple[Kind, Status, Role]:
    if word == "undo":
        return Kind.REVERTED, rules.revert(rules.standing_moves(beats))[0], Role.MANAGER
    if word == "pause":
        return Kind.PAUSED, rules.pause(status), Role.TECHNICIAN
    if word == "resume":
        return Kind.RESUMED, rules.resume(status, held), Role.TECHNICIAN
    if word.startswith("cancel"):
        return Kind.CANCELLED, rules.cancel(status), Role.MANAGER
    to = Status(word)
    role = next(r for r in (Role.TECHNICIAN, Role.FRONT_DESK, Role.MANAGER) if r in rules.movers(status, to))
    if to == rules.next_step(status):
        return Kind.ADVANCED, rules.advance(status), role
    return Kind.JUMPED, rules.jump(status, to), role


# --- visits -------------------------------------------------------------------------------------


class Visit(NamedTuple):
    """A repair before it has its number. ages: each event, in open seconds ago; texts: what each says."""

    ages: list[int]
    texts: list[str]
    story: str
    promises: list[datetime]
    branch: int
    technician_id: int | None
    goods: dict
    # The position in CASES, for one of those.
    case: int | None = None


def visits(count: int, clock: Clock) -> Iterator[Visit]:
    """That many visits, in the order in which they came in. About 60 of 100 are open; of many, far fewer."""
    rng = random.Random(7)
    by_hand = [_by_hand(number, clock) for number in range(min(count, len(CASES)))]
    wanted = min(3000, round(0.6 * min(count, 60) + 0.02 * max(count - 60, 0)))
    still = max(0, wanted - sum(outline(visit.story).status not in rules.CLOSED for visit in by_hand))
    still = min(still, count - len(by_hand))
    now = [_open(rng, clock) for _ in range(still)]
    recent = sorted(by_hand + now, key=_age)
    yield from heapq.merge(_closed(rng, clock, count - len(recent), _span(count)), recent, key=_age)


def _age(visit: Visit) -> int:
    return -visit.ages[0]


def _by_hand(number: int, clock: Clock) -> Visit:
    case = CASES[number]
    return Visit(
        # A second from one event to the next, where the table has them at the same time.
        ages=[int(entry[0] * 3600) - second for second, entry in enumerate(case.story)],
        texts=[entry[2] if len(entry) > 2 else "" for entry in case.story],
        story=" ".join(entry[1] for entry in case.story[1:]),
        promises=[clock.evening(days) for days in case.due],
        branch=case.branch,
        technician_id=STAFF_IDS.get(case.technician),
        goods={name: getattr(case, name) for name in ("item", "problem", "serial", "accessories", "estimate")},
        case=number,
    )


def _open(rng: random.Random, clock: Clock) -> Visit:
    """A repair that is in the shop."""
    plan = rng.choice(_OPEN)
    start = int(rng.uniform(*plan.days) * OPEN_DAY)
    end = max(300, int(start * rng.uniform(0.05, 0.6)))
    days = rng.randint(*plan.due)
    promises = outline(plan.story).promises
    return _invent(rng, plan, start, end, [clock.evening(days - 2 * more) for more in reversed(range(promises))])


def _closed(rng: random.Random, clock: Clock, count: int, span: int) -> Iterator[Visit]:
    """Repairs that are over, spread evenly over the shop's years."""
    newest = 2 * OPEN_DAY
    for left in range(count, 0, -1):
        plan = rng.choice(_CLOSED)
        start = newest + int((span - newest) * (left - rng.random()) / count)
        days = rng.uniform(*plan.days)
        end = start - min(int(days * OPEN_DAY), start * 9 // 10)
        yield _invent(rng, plan, start, end, _promises(clock.at(start), days, outline(plan.story).promises))


def _promises(received: datetime, days: float, count: int) -> list[datetime]:
    """What the desk would have promised on that day; each further promise is a week later."""
    pick = "tomorrow" if days < 1.5 else "3_days" if days < 3 else "1_week"
    first = formats.pick(pick, ZONE, received)
    if first.weekday() == SUNDAY:
        first = formats.pick("tomorrow", ZONE, first)
    return [first.astimezone(UTC) + timedelta(weeks=week) for week in range(count)]


def _invent(rng: random.Random, plan: Plan, start: int, end: int, promises: list[datetime]) -> Visit:
    """A visit from start to end, in open seconds ago, with one of the things that people bring."""
    played = outline(plan.story)
    marks = list(accumulate(pace * (0.5 + rng.random()) for pace in played.pace))
    per_mark = (start - end) / (marks[-1] or 1)
    goods = rng.choice(_GOODS)
    fault = rng.choice(goods.faults)
    said = {
        "note": fault.found,
        "tell": fault.told,
        "part": f"We have ordered {fault.part} and go on as soon as it is here.",
    }
    prefix, figures = goods.serial
    branch = int(rng.random() < 0.35)
    technician = rng.choice(_BENCH[branch])
    return Visit(
        ages=[start - int(mark * per_mark) - second for second, mark in enumerate(marks)],
        texts=[
            said[beat.word] if beat.word in said else rng.choice(SAYINGS[beat.word]) if beat.word in SAYINGS else ""
            for beat in played.beats
        ],
        story=plan.story,
        promises=promises,
        branch=branch,
        # What has not been looked at may not be anybody's yet.
        technician_id=None if played.status == Status.RECEIVED and rng.random() < 0.6 else technician,
        goods={
            "item": rng.choice(goods.items),
            "problem": fault.problem,
            "serial": f"{prefix}{rng.randrange(10**figures):0{figures}d}" if rng.random() < 0.8 else "",
            "accessories": rng.choice(goods.accessories),
            "estimate": rng.randint(*fault.price) * 100 if rng.random() < 0.85 else None,
        },
    )


_GOODS = [goods for goods in GOODS for _ in range(goods.parts)]
_OPEN = [plan for plan in OPEN for _ in range(plan.parts)]
_CLOSED = [plan for plan in CLOSED for _ in range(plan.parts)]
_BENCH = [
    [STAFF_IDS[who.name] for who in STAFF if who.role == Role.TECHNICIAN and who.branch == branch]
    for branch in range(len(BRANCHES))
]


# --- rows ---------------------------------------------------------------------------------------


class Book:
    """Gives visits their numbers and customers, and writes them as rows, page by page."""

    def __init__(self, coming: Iterable[Visit], clock: Clock):
        self.numbers = [1] * len(BRANCHES)
        self._coming, self._clock = coming, clock
        self._rng = random.Random(11)
        self._repairs = self._events = self._customers = self._invented = 0
        self._cases: dict[int, dict] = {}
        self._newest: deque[dict] = deque(maxlen=LISTED)

    def listed(self) -> list[dict]:
        """The repairs to show: those written by hand, in the table's order, then the newest first."""
        return [*(self._cases[number] for number in sorted(self._cases)), *reversed(self._newest)][:LISTED]

    def pages(self) -> Iterator[tuple[list[dict], list[dict], list[dict]]]:
        """(customers, repairs, events), some thousands at a time: there may be more than fit into memory."""
        page = ([], [], [])
        for visit in self._coming:
            self._enter(visit, *page)
            if len(page[1]) == BATCH:
                yield page
                page = ([], [], [])
        yield page

    def _enter(self, visit: Visit, customers: list[dict], repairs: list[dict], events: list[dict]) -> None:
        self._repairs += 1
        number, self.numbers[visit.branch] = self.numbers[visit.branch], self.numbers[visit.branch] + 1
        happened, promised_at, moved_at = self._happened(visit)
        events += happened
        played = outline(visit.story)
        received_at = happened[0]["at"]
        code = formats.repair_code(SHOP["code"], BRANCHES[visit.branch]["code"], number)
        repair = {
            "id": self._repairs,
            "code": code,
            "token": formats.new_token(),
            "version": len(happened),
            "branch_id": visit.branch + 1,
            "customer_id": self._customer(visit.case, received_at, customers),
            "technician_id": visit.technician_id,
            "status": played.status,
            "paused_from": played.paused_from,
            "promised_at": promised_at,
            "received_at": received_at,
            "moved_at": moved_at,
            "changed_at": happened[-1]["at"],
            "search": repair_search(code, visit.goods["item"], visit.goods["serial"]),
            **visit.goods,
        }
        repairs.append(repair)
        if visit.case is None:
            self._newest.append(repair)
        else:
            self._cases[visit.case] = repair

    def _happened(self, visit: Visit) -> tuple[list[dict], datetime | None, datetime]:
        """The visit's events, what is promised after them, and when it last moved."""
        rows, promises, promised_at, moved_at = [], iter(visit.promises), None, None
        moment, crew = self._clock.at, _crew(visit.branch, visit.technician_id)
        beats = outline(visit.story).beats
        for (_, kind, old, new, role, public, _, _), ago, said in zip(beats, visit.ages, visit.texts, strict=True):
            self._events += 1
            at = moment(ago)
            if kind == Kind.PROMISED:
                old = promised_at and formats.iso_utc(promised_at)
                promised_at = next(promises)
                new = formats.iso_utc(promised_at)
            elif new:
                moved_at = at
            rows.append(
                {
                    "id": self._events,
                    "repair_id": self._repairs,
                    "staff_id": crew[role],
                    "at": at,
                    "kind": kind,
                    "old": old,
                    "new": new,
                    "text": said,
                    "public": public,
                }
            )
        return rows, promised_at, moved_at

    def _customer(self, case: int | None, since: datetime, customers: list[dict]) -> int:
        """The id of a new customer, whose row is added, or of one who comes again."""
        if case is not None:
            name, phone, email = CASES[case].customer
        elif self._customers and (self._rng.random() < self._loyalty() or self._invented == PHONES):
            return self._rng.randint(1, self._customers)
        else:
            name, phone, email = self._stranger()
        self._customers += 1
        customers.append(
            {
                "id": self._customers,
                "name": name,
                "phone": phone,
                "email": email,
                "search": customer_search(name, phone, email),
                "created_at": since,
            }
        )
        return self._customers

    def _loyalty(self) -> float:
        """How likely it is that a customer has been here before: little in the first weeks."""
        return min(0.6, 0.1 + self._repairs / 2000)

    def _stranger(self) -> tuple[str, str, str]:
        name = " ".join(self._rng.choice(words) for words in self._rng.choice(NAMES))
        email = _email(name) if name.isascii() and self._rng.random() < 0.6 else ""
        self._invented += 1
        return name, _phone(self._invented - 1), email


@cache
def _crew(branch: int, technician_id: int | None) -> dict[str, int]:
    """Who does what of a role, at a branch, for a technician's repair: ids of staff."""
    ids = {}
    for number, who in enumerate(STAFF, start=1):
        if who.branch == branch or who.role == Role.MANAGER:
            ids.setdefault(who.role.value, number)
    return ids | ({Role.TECHNICIAN.value: technician_id} if technician_id else {})


def _phone(number: int) -> str:
    """The number-th phone number, without an order that one sees."""
    if number < MOBILES:
        return f"+447700900{100 + number * 617 % MOBILES:03d}"
    return f"+441632{(number - MOBILES) * 373_183 % 1_000_000:06d}"


def _email(name: str) -> str:
    return f"{name.lower().replace(' ', '.')}@example.com"


# --- the database -------------------------------------------------------------------------------


def _demand_empty() -> None:
    """Raises NotEmpty."""
    for model, what in ((Shop, "a shop"), (Staff, "staff"), (Customer, "customers"), (Repair, "repairs")):
        if db.session.scalar(select(model.id).limit(1)) is not None:
            raise NotEmpty(f"The demo fills an empty database only, and this one has {what} already.")


@contextmanager
def _no_search_for_cycles():
    """Rows hold no cycles, and looking for some among so many would take an eighth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _open_shop(password_hash: str, public_url: str, since: datetime) -> None:
    """The shop, its branches and its staff, in the caller's transaction."""
    db.session.add(Shop(**SHOP, public_url=public_url, created_at=since))
    for number, branch in enumerate(BRANCHES, start=1):
        db.session.add(Branch(id=number, **branch, created_at=since))
    db.session.flush()
    for number, who in enumerate(STAFF, start=1):
        db.session.add(
            Staff(
                id=number,
                name=who.name,
                email=_email(who.name),
                password_hash=password_hash,
                role=who.role,
                branch_id=None if who.branch is None else who.branch + 1,
                created_at=since,
            )
        )
    db.session.flush()


def _set_sequences() -> None:
    """PostgreSQL does not count the ids that were given to it."""
    if db.session.get_bind().dialect.name != "postgresql":
        return
    for model in (Branch, Staff, Customer, Repair, Event):
        sequence = func.pg_get_serial_sequence(model.__tablename__, "id")
        newest = select(func.max(model.id)).scalar_subquery()
        db.session.execute(select(func.setval(sequence, newest)))

"""Who and what is in the demo: a shop, its people, its goods and their faults, and what happens to them."""

from datetime import time
from typing import NamedTuple

from ..rules import Role

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
_DAY = [[f"{OPENS:%H:%M}", f"{CLOSES:%H:%M}"]]
BRANCHES = (
    {"name": "Main Street", "code": "MN", "hours": [_DAY] * SUNDAY + [[]]},
    {
        "name": "Riverside",
        "code": "RV",
        "phone": "+442079460277",
        "whatsapp": "+447700900002",
        "address": "Unit 3, Old Rope Works\n27 Wharf Walk\nLondon SE1 0ZZ",
        "hours": [[["09:00", "13:00"], ["14:00", "18:00"]]] * 5 + [_DAY, []],
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

"""Photos: what comes in is checked and written anew, what goes out says what it is, and only staff sees any of it."""

import shutil
import stat
import struct
import zlib
from datetime import UTC, datetime
from io import BytesIO
from types import SimpleNamespace

import pytest
from PIL import Image, ImageDraw
from sqlalchemy import event, select
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from app import pictures
from app.db import db
from app.models import Event, Photo, Repair
from app.repairs import actions, photos

from .conftest import Page
from .factories import branch, make_customer, make_repair, make_staff
from .test_settings import in_currency

pytestmark = pytest.mark.usefixtures("folder")

# A Monday, ten in the morning in Bangkok.
MORNING = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
RED, BLUE, WHITE = (220, 30, 30), (30, 30, 220), (255, 255, 255)
MEGABYTE = 1024 * 1024


@pytest.fixture
def repair(shop):
    """A repair without photos."""
    return make_repair()


# --- pictures -----------------------------------------------------------------------------------


def picture(kind="JPEG", size=(60, 40), mode="RGB", **options):
    """The bytes of a picture that is red on its left half and blue on its right."""
    image = Image.new("RGB", size, RED)
    ImageDraw.Draw(image).rectangle((size[0] // 2, 0, *size), fill=BLUE)
    file = BytesIO()
    image.convert(mode, palette=Image.Palette.ADAPTIVE).save(file, kind, **options)
    return file.getvalue()


def told_by_the_camera(orientation=6):
    """What a phone writes into a picture: how it was held, where it was, and of whom it is."""
    told = Image.Exif()
    told[0x0112] = orientation
    told[0x010E] = "In the kitchen of Malee"
    told.get_ifd(0x8825).update({1: "N", 2: (13.0, 45.0, 22.5), 3: "E", 4: (100.0, 30.0, 6.25)})
    return told


def png_of(width, height):
    """A PNG of a few bytes that claims that size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 64)), (b"IEND", b"")]
    file = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        file += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return file


def near(colour, other):
    """Whether two colours are the same but for what JPEG makes of them."""
    return all(abs(one - two) < 25 for one, two in zip(colour, other, strict=True))


def opened(content):
    return Image.open(BytesIO(content))


# --- the counter --------------------------------------------------------------------------------


def address(repair, rest="photos"):
    return f"/repairs/{repair.code}/{rest}"


def form(repair, *files, **changes):
    """The form as a browser sends it. files: bytes, or (bytes, name)."""
    named = [file if isinstance(file, tuple) else (file, "IMG_2041.jpg") for file in files]
    uploads = [FileStorage(BytesIO(content), name) for content, name in named]
    return {"version": repair.version, "photos": uploads} | changes


def post(client, url, data, status, *, size=0, htmx=True):
    """What Client.htmx does, with a body in memory where the client makes files. size: what it claims to weigh."""
    boundary, body = encode_multipart({"csrf_token": client.csrf_token()} | data)
    answer = client.post(
        url,
        data=body,
        content_type=f"multipart/form-data; boundary={boundary}",
        headers={"HX-Request": "true"} if htmx else {},
        environ_overrides={"CONTENT_LENGTH": str(size)} if size else {},
    )
    page = Page(answer)
    assert page.status == status, page.text
    return page


def add(client, repair, *files, status=200, **changes):
    return post(client, address(repair), form(repair, *files, **changes), status)


def remove(client, repair, photo, status=200, **changes):
    return client.htmx(address(repair, f"photos/{photo.id}/remove"), {"version": repair.version} | changes, status)


def kept(repair):
    """The rows of a repair's photos."""
    return db.session.scalars(select(Photo).where(Photo.repair_id == repair.id).order_by(Photo.id)).all()


def events(repair):
    query = select(Event).where(Event.repair_id == repair.id).order_by(Event.id)
    return [(row.kind, row.text, row.public) for row in db.session.scalars(query)]


def files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def fetch(client, repair, photo, size=""):
    """The picture as a browser gets it."""
    with client.get(address(repair, f"photos/{photo.name}{size}.jpg")) as answer:
        assert answer.status_code == 200
        return SimpleNamespace(headers=answer.headers, content=answer.get_data())


# --- adding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_kept_upright_and_without_all_that_the_camera_told(technician, repair, folder, kind):
    sent = picture(kind, exif=told_by_the_camera(), **({"quality": 95} if kind == "WEBP" else {}))
    assert opened(sent).getexif()[0x010E] == "In the kitchen of Malee"
    add(technician, repair, sent)
    (photo,) = kept(repair)
    assert (photo.width, photo.height) == (40, 60)
    assert photo.staff_id == technician.staff_id
    for size in ("", "-small"):
        content = fetch(technician, repair, photo, size).content
        image = opened(content)
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (40, 60))
        assert dict(image.getexif()) == {}
        assert not {"exif", "xmp", "icc_profile", "comment", "photoshop"} & {*image.info}
        # It was held on its side: what was left is up.
        assert near(image.getpixel((20, 10)), RED)
        assert near(image.getpixel((20, 50)), BLUE)
    for file in files(folder):
        content = (folder / file).read_bytes()
        assert b"Exif" not in content
        assert b"kitchen" not in content


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_however_the_phone_was_held(technician, repair, orientation):
    add(technician, repair, picture(exif=told_by_the_camera(orientation)))
    image = opened(fetch(technician, repair, *kept(repair)).content)
    assert image.size == ((60, 40) if orientation < 5 else (40, 60))
    # Where the red half went, by the table of https://www.exif.org/Exif2-2.PDF, tag 274.
    red = {1: (5, 20), 2: (55, 20), 3: (55, 20), 4: (5, 20), 5: (20, 5), 6: (20, 5), 7: (20, 55), 8: (20, 55)}
    assert near(image.getpixel(red[orientation]), RED)


def test_several_at_once_are_one_event_in_the_order_in_which_they_were_sent(owner, repair):
    before = repair.version
    page = add(owner, repair, picture(), picture("PNG", (80, 40)), picture("WEBP", (100, 40)))
    assert [photo.width for photo in kept(repair)] == [60, 80, 100]
    assert repair.version == before + 1
    assert events(repair)[-1] == ("photo_added", "3 photos", False)
    assert len(page.all("#photos img")) == 3
    assert "Added 3 photos" in page.one("#history li:first-child").get_text()
    assert page.text.count("3 photos") == 1


def test_one_is_told_of_as_one(owner, repair):
    add(owner, repair, picture())
    assert events(repair)[-1] == ("photo_added", "1 photo", False)


def test_a_large_picture_is_shrunk_and_a_small_one_is_not_blown_up(owner, repair):
    add(owner, repair, picture(size=(3000, 1500)), picture(size=(300, 3000)), picture(size=(90, 60)))
    wide, high, little = kept(repair)
    sizes = {
        wide: ((2000, 1000), (480, 240)),
        high: ((200, 2000), (48, 480)),
        little: ((90, 60), (90, 60)),
    }
    for photo, (full, small) in sizes.items():
        assert opened(fetch(owner, repair, photo).content).size == full
        assert opened(fetch(owner, repair, photo, "-small").content).size == small
    assert (wide.width, wide.height) == (2000, 1000)


@pytest.mark.parametrize(
    ("kind", "mode"), [("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "1"), ("PNG", "LA"), ("PNG", "RGBA")]
)
def test_a_picture_may_keep_its_colours_in_any_way(owner, repair, kind, mode):
    add(owner, repair, picture(kind, mode=mode))
    image = opened(fetch(owner, repair, *kept(repair)).content)
    assert (image.mode, image.size) == ("RGB", (60, 40))
    if mode in {"CMYK", "P", "RGBA"}:
        assert near(image.getpixel((5, 20)), RED)


def test_what_is_transparent_is_white(owner, repair):
    file = BytesIO()
    Image.new("RGBA", (60, 40), (0, 0, 0, 0)).save(file, "PNG")
    add(owner, repair, file.getvalue())
    assert near(opened(fetch(owner, repair, *kept(repair)).content).getpixel((30, 20)), WHITE)


def test_a_phone_s_picture_of_several_frames_is_its_first(owner, repair):
    file, other = BytesIO(), Image.new("RGB", (20, 20))
    opened(picture()).save(file, "MPO", save_all=True, append_images=[other])
    add(owner, repair, file.getvalue())
    assert opened(fetch(owner, repair, *kept(repair)).content).size == (60, 40)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("nonsense", [b"II*\0\x08\0\0\0\xff\xffnonsense", b"nonsense"])
def test_a_picture_whose_camera_wrote_nonsense_is_taken_as_it_lies(owner, repair, kind, nonsense):
    add(owner, repair, picture(kind, exif=b"Exif\0\0" + nonsense))
    assert opened(fetch(owner, repair, *kept(repair)).content).size == (60, 40)


def test_a_page_that_hides_in_a_picture_does_not_get_in(owner, repair, folder):
    script = b"<html><script>alert(document.cookie)</script>"
    for sent in (picture(comment=script), picture() + script, picture("PNG") + script, picture(icc_profile=script)):
        assert script in sent
        add(owner, repair, sent)
    for file in files(folder):
        assert b"<script>" not in (folder / file).read_bytes()


@pytest.mark.parametrize("name", ["../../x.jpg", "/etc/passwd", "..\\x.jpg", "x.php", "a" * 300 + ".jpg", "ภาพ.jpg"])
def test_the_name_of_what_was_sent_is_not_the_name_of_a_file(owner, repair, folder, name):
    before = {file for file in folder.parent.rglob("*") if not file.name.startswith("readylight.db")}
    add(owner, repair, (picture(), name))
    (photo,) = kept(repair)
    assert files(folder) == [f"{photo.name[:2]}/{photo.name}{size}.jpg" for size in ("-small", "")]
    made = {file for file in folder.parent.rglob("*") if not file.name.startswith("readylight.db")} - before
    assert {file.name for file in made} <= {"photos", photo.name[:2], f"{photo.name}.jpg", f"{photo.name}-small.jpg"}


def test_nobody_else_on_the_machine_may_look(owner, repair, folder):
    add(owner, repair, picture())
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if path.is_file() else 0o700)


def test_two_pictures_never_have_one_name(owner, repair):
    add(owner, repair, *[picture()] * 3)
    assert len({photo.name for photo in kept(repair)}) == 3


# --- refused ------------------------------------------------------------------------------------

GIF = BytesIO()
Image.new("L", (2, 2)).save(GIF, "GIF")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200
REFUSED = {
    "text": (b"hello", "is not a picture"),
    "a page": (b"<!doctype html><html><script>alert(1)</script></html>", "is not a picture"),
    "a drawing with scripts": (b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "is not a picture"),
    "nothing in it": (b"", "is not a picture"),
    "another kind": (GIF.getvalue(), "is not a picture"),
    "heic": (HEIC, "HEIC"),
    "half a jpeg": (picture(size=(400, 400))[:3000], "is damaged"),
    "half a png": (picture("PNG", (400, 400))[:200], "is damaged"),
    "half a webp": (picture("WEBP", (400, 400))[:100], "is"),
    "a head without a body": (b"\xff\xd8\xff\xe0\0\x10JFIF", "is"),
    "a bomb": (png_of(60_000, 60_000), "megapixels"),
    "a bomb that Pillow only warns of": (png_of(8000, 8000), "megapixels"),
    "a line that is too long": (png_of(2**31 - 1, 1), "megapixels"),
    "a size of nothing": (png_of(0, 0), "is"),
    "too many bytes": (picture() + b"\0" * (15 * MEGABYTE), "larger than 15 MB"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_good_is_refused_with_a_sentence_and_leaves_nothing(owner, repair, folder, name):
    content, why = REFUSED[name]
    before = events(repair), repair.version
    page = add(owner, repair, (content, "IMG_7.jpg"), status=422)
    said = page.one("#photos [role=alert]").get_text()
    assert said.startswith("“IMG_7.jpg” ")
    assert why in said
    assert said.endswith(".")
    assert (events(repair), repair.version) == before
    assert kept(repair) == []
    assert files(folder) == []


def test_one_that_is_no_good_keeps_out_those_that_came_with_it(owner, repair, folder):
    page = add(owner, repair, picture(), (b"hello", "notes.txt"), picture(), status=422)
    assert page.one("#photos [role=alert]").get_text(strip=True) == (
        "“notes.txt” is not a picture that can be read. Send JPEG, PNG or WebP. None of the 3 files was added."
    )
    assert kept(repair) == []
    assert files(folder) == []


def test_a_name_is_repeated_as_text(owner, repair):
    page = add(owner, repair, (b"hello", "<img src=x>" + "y" * 500), status=422)
    assert not page.all("#photos img")
    assert len(page.one("#photos [role=alert]").get_text()) < 160


@pytest.mark.parametrize("files", [[], [(b"", "")]])
def test_a_form_without_a_photo_is_refused(owner, repair, files):
    page = add(owner, repair, *files, status=422)
    assert page.one("#photos [role=alert]").get_text() == "Choose a photo first."


def test_text_in_the_place_of_a_file_is_no_photo(owner, repair):
    page = owner.htmx(address(repair), {"version": repair.version, "photos": "hello"}, 422)
    assert page.one("#photos [role=alert]").get_text() == "Choose a photo first."


def test_a_repair_has_a_dozen_photos_at_most(owner, repair, folder):
    page = add(owner, repair, *[picture(size=(4, 4))] * 13, status=422)
    assert page.one("#photos [role=alert]").get_text() == ("A repair has 12 photos at most; there is room for 12 more.")
    assert files(folder) == []
    add(owner, repair, *[picture(size=(4, 4))] * 11)
    page = add(owner, repair, picture(), picture(), status=422)
    assert "room for 1 more" in page.one("#photos [role=alert]").get_text()
    page = add(owner, repair, picture())
    assert not page.all("#photos form[enctype]"), "nothing more is asked for"
    page = add(owner, repair, picture(), status=422)
    assert page.one("#photos [role=alert]").get_text() == "A repair has 12 photos at most; remove one first."
    assert len(kept(repair)) == 12
    assert len(files(folder)) == 24
    add(owner, make_repair(), picture())


def test_pictures_leave_no_file_when_their_rows_cannot_be_written(owner, repair, folder):
    def fail(session):
        if any(isinstance(row, Photo) for row in session.new):
            assert len(files(folder)) == 4, "the files come first"
            raise OSError("the disk is full")

    event.listen(db.session, "before_commit", fail)
    try:
        with pytest.raises(OSError, match="the disk is full"):
            add(owner, repair, picture(), picture())
    finally:
        event.remove(db.session, "before_commit", fail)
    assert kept(repair) == []
    assert files(folder) == []
    add(owner, repair, picture())


def test_a_disk_that_cannot_be_written_leaves_nothing_behind(owner, repair, folder):
    folder.write_text("in the way")
    try:
        with pytest.raises(OSError, match=r"exists|directory"):
            add(owner, repair, picture())
    finally:
        folder.unlink()
    assert kept(repair) == []
    assert events(repair)[-1][0] != "photo_added"


# --- too much at a time -------------------------------------------------------------------------


def test_more_than_a_form_may_bring_is_said_where_it_is_seen(owner, repair):
    page = post(owner, address(repair), form(repair, picture()), 413, size=65 * MEGABYTE)
    assert page.headers["HX-Retarget"] == "#alert", "the panels and what was typed stay"
    assert "too large" in page.one("[role=alert]").get_text()
    page = post(owner, address(repair), form(repair, picture()), 413, size=65 * MEGABYTE, htmx=False)
    assert "too large" in page.one("h1").get_text()


def test_no_other_form_takes_more_than_text(owner, repair):
    for url in (address(repair, "notes"), address(repair, "edit"), "/repairs/new/customer", "/login"):
        post(owner, url, form(repair, b"x" * 2 * MEGABYTE), 413)


def test_the_text_beside_photos_may_not_fill_the_memory(owner, repair):
    post(owner, address(repair), {"note": "x" * 2 * MEGABYTE} | form(repair, picture()), 413)


def test_a_stranger_cannot_fill_the_disk(anyone, shop, repair):
    add(anyone, repair, b"x" * 2 * MEGABYTE, status=413)


def test_a_form_of_many_large_photos_is_taken(owner, repair):
    add(owner, repair, *[picture() + b"\0" * (5 * MEGABYTE)] * 2)
    assert len(kept(repair)) == 2


# --- the panel ----------------------------------------------------------------------------------


def test_the_panel_without_photos_says_so_in_a_line(technician, repair):
    panel = technician.page(address(repair, "")[:-1]).one("#photos")
    assert panel.select_one("p.quiet:not(header p)").get_text() == "No photos yet."
    (form,) = panel.select("form")
    assert form["action"] == form["hx-post"] == address(repair)
    assert form["enctype"] == form["hx-encoding"] == "multipart/form-data"
    assert form["hx-target"] == "#photos"
    assert form.select_one("[name=version]")["value"] == str(repair.version)
    chooser = form.select_one("input[type=file][name=photos][multiple]")
    assert chooser["accept"] == "image/jpeg,image/png,image/webp"
    assert form.select_one("button:not([type])"), "without JavaScript it is sent by a button"


def test_the_panel_shows_what_is_known_of_each_photo(owner, repair, clock):
    clock.set(MORNING)
    add(owner, repair, picture(size=(1200, 600)), picture())
    page = owner.page(address(repair, "")[:-1])
    images = page.all("#photos li a[target=_blank] img[loading=lazy]")
    who = owner.staff.name
    assert [image["alt"] for image in images] == [f"Photo {n} of 2, added by {who} today 10:00" for n in (1, 2)]
    assert (images[0]["width"], images[0]["height"]) == ("1200", "600")
    first = kept(repair)[0]
    assert images[0]["src"] == address(repair, f"photos/{first.name}-small.jpg")
    assert images[0].parent["href"] == address(repair, f"photos/{first.name}.jpg")
    assert page.one(f'form[action="{address(repair, f"photos/{first.id}/remove")}"]')["hx-target"] == "#photos"
    assert page.all("#photos summary")[0]["aria-label"] == "Remove photo 1 of 2"


def test_with_htmx_the_panel_comes_back_and_the_history_with_it(owner, repair):
    page = add(owner, repair, picture())
    assert next(element for element in page.soup.children if element.name)["id"] == "photos"
    assert {part["hx-target"] for part in page.all("hx-partial")} == {"#history", "#said", "#alert"}
    assert page.one("hx-partial[hx-target='#said']").get_text(strip=True) == "Photos added."
    page = remove(owner, repair, *kept(repair))
    assert page.one("hx-partial[hx-target='#said']").get_text(strip=True) == "Photo removed."


def test_without_htmx_the_page_comes_back(owner, repair):
    page = address(repair, "")[:-1]
    assert owner.send(address(repair), form(repair, picture()), on=page).location == page
    assert owner.page(page).one("#said").get_text(strip=True) == "Photos added."
    (photo,) = kept(repair)
    gone = owner.send(address(repair, f"photos/{photo.id}/remove"), {"version": repair.version}, on=page)
    assert gone.location == page
    assert owner.page(page).one("#said").get_text(strip=True) == "Photo removed."
    refused = owner.send(address(repair), form(repair, b"hello"), 422)
    assert refused.one("h1").get_text() == repair.item
    assert len(refused.all("[role=alert]")) == 1


# --- who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["owner", "manager", "technician"])
def test_whoever_works_on_it_adds_and_removes(request, repair, role):
    client = request.getfixturevalue(role)
    add(client, repair, picture())
    remove(client, repair, *kept(repair))
    assert kept(repair) == []


def test_the_front_desk_looks_and_changes_nothing(front_desk, owner, repair, folder):
    add(owner, repair, picture())
    (photo,) = kept(repair)
    panel = front_desk.page(address(repair, "")[:-1]).one("#photos")
    assert len(panel.select("img")) == 1
    assert panel.select("form, summary") == []
    fetch(front_desk, repair, photo)
    for page in (add(front_desk, repair, picture(), status=403), remove(front_desk, repair, photo, 403)):
        assert "an owner, a manager or a technician may add or remove photos" in page.one("[role=alert]").get_text()
    assert kept(repair) == [photo]
    assert len(files(folder)) == 2


def test_a_stranger_is_shown_the_door(anyone, owner, repair):
    add(owner, repair, picture())
    (photo,) = kept(repair)
    for rest in (f"photos/{photo.name}.jpg", f"photos/{photo.name}-small.jpg"):
        assert anyone.page(address(repair, rest), 302).location.startswith("/login")
    assert anyone.send(address(repair), form(repair, picture()), 302).location.startswith("/login")
    anyone.send(address(repair, f"photos/{photo.id}/remove"), {}, 401)
    assert kept(repair) == [photo]


@pytest.mark.parametrize("rest", ["photos", "photos/1/remove"])
def test_a_form_without_the_page_s_token_does_nothing(owner, repair, rest):
    add(owner, repair, picture())
    assert owner.post(address(repair, rest), data=form(repair, picture())).status_code == 400
    assert len(kept(repair)) == 1
    assert owner.get(address(repair, rest)).status_code == 405


# --- the picture --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["", "-small"])
def test_a_picture_is_served_as_nothing_but_a_picture(owner, repair, size):
    add(owner, repair, picture())
    (photo,) = kept(repair)
    answer = fetch(owner, repair, photo, size)
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Content-Disposition"] == f"inline; filename={repair.code}-{photo.id}{size}.jpg"
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["Content-Length"] == str(len(answer.content))


def test_a_picture_of_another_repair_is_not_there(owner, repair):
    other = make_repair()
    add(owner, other, picture())
    (photo,) = kept(other)
    for size in ("", "-small"):
        owner.page(address(repair, f"photos/{photo.name}{size}.jpg"), 404)
    page = remove(owner, repair, photo, 422)
    assert page.one("#photos [role=alert]").get_text() == "This repair has no such photo."
    assert kept(other) == [photo]
    fetch(owner, other, photo)


@pytest.mark.parametrize("name", ["x", "0" * 32, "%00", "..%2f..%2freadylight", "../../secret_key", "a" * 5000])
def test_a_name_that_no_picture_has_is_not_found(owner, repair, name):
    add(owner, repair, picture())
    for size in ("", "-small"):
        owner.page(address(repair, f"photos/{name}{size}.jpg"), 404)


@pytest.mark.parametrize("number", ["0", "999", "2147483647", "2147483648", "9" * 30, "-1", "x"])
def test_a_number_that_no_photo_has_removes_nothing(owner, repair, number):
    add(owner, repair, picture())
    answer = owner.post(
        address(repair, f"photos/{number}/remove"), data={"version": repair.version, "csrf_token": owner.csrf_token()}
    )
    assert answer.status_code in {404, 422}
    assert len(kept(repair)) == 1


def test_a_picture_whose_file_is_gone_is_not_found(owner, repair, folder):
    add(owner, repair, picture())
    (photo,) = kept(repair)
    shutil.rmtree(folder)
    owner.page(address(repair, f"photos/{photo.name}.jpg"), 404)
    assert len(owner.page(address(repair, "")[:-1]).all("#photos img")) == 1
    remove(owner, repair, photo)
    assert kept(repair) == []


# --- removing -----------------------------------------------------------------------------------


def test_a_removed_photo_is_gone_with_its_files(owner, repair, folder):
    add(owner, repair, picture(), picture())
    first, second = kept(repair)
    name, left = first.name, [f"{second.name[:2]}/{second.name}{size}.jpg" for size in ("-small", "")]
    page = remove(owner, repair, first)
    assert len(page.all("#photos img")) == 1
    assert "Removed a photo" in page.one("#history li:first-child").get_text()
    assert kept(repair) == [second]
    assert files(folder) == left
    assert events(repair)[-1] == ("photo_removed", "", False)
    owner.page(address(repair, f"photos/{name}.jpg"), 404)


def test_a_photo_whose_row_cannot_be_removed_keeps_its_files(owner, repair, folder):
    add(owner, repair, picture())

    def fail(session):
        if any(isinstance(row, Photo) for row in session.deleted):
            raise OSError("the disk is full")

    event.listen(db.session, "before_commit", fail)
    try:
        with pytest.raises(OSError, match="the disk is full"):
            remove(owner, repair, *kept(repair))
    finally:
        event.remove(db.session, "before_commit", fail)
    assert len(kept(repair)) == 1
    assert len(files(folder)) == 2


# --- two people at once -------------------------------------------------------------------------


def test_whoever_is_slower_is_told_and_nothing_is_kept(owner, repair, folder, clock):
    clock.set(MORNING)
    stale = form(repair, picture())
    actions.add_note(repair, "I was here first.", by=make_staff("manager", name="Somchai"), version=repair.version)
    page = owner.htmx(address(repair), stale, 409)
    said = page.one("#photos [role=alert]").get_text()
    assert said.startswith("Somchai changed this repair at 10:00.")
    assert "no photo was added" in said
    assert "I was here first." in page.one("#notes").get_text()
    others = {"#status", "#promise", "#updates", "#notes", "#tracking-card", "#history"}
    assert {part["hx-target"] for part in page.all("hx-partial")} >= others
    assert {field["value"] for field in page.all("[name=version]")} == {str(repair.version)}
    assert kept(repair) == []
    assert files(folder) == []


def test_a_photo_that_a_colleague_has_just_removed_is_shown_as_gone(owner, manager, repair):
    add(owner, repair, picture(), picture())
    first, second = kept(repair)
    stale, url = {"version": repair.version}, address(repair, f"photos/{first.id}/remove")
    remove(manager, repair, first)
    page = owner.htmx(url, stale, 409)
    assert len(page.all("#photos img")) == 1
    assert kept(repair) == [second]


def test_the_photos_come_fresh_to_whoever_was_too_slow_with_something_else(owner, repair):
    stale = {"version": repair.version, "text": "Mine."}
    add(owner, repair, picture())
    page = owner.htmx(address(repair, "notes"), stale, 409)
    assert len(page.all("hx-partial[hx-target='#photos'] img")) == 1


class Meanwhile(BytesIO):
    """An upload during whose reading something else happens."""

    def __init__(self, content, happens):
        super().__init__(content)
        self.filename, self.stream, self._happens = "x.jpg", self, happens

    def read(self, *args):
        happens, self._happens = self._happens, None
        if happens:
            happens()
        return super().read(*args)


def test_nobody_waits_while_pictures_are_shrunk(owner, front_desk, folder):
    repair, other = make_repair(), make_repair()
    by, version = owner.staff, repair.version
    note = {"version": other.version, "text": "Hello."}
    upload = Meanwhile(picture(), lambda: front_desk.htmx(address(other, "notes"), note))
    actions.add_photos(repair, [upload], by=by, version=version)
    assert events(other)[-1] == ("noted", "Hello.", False)
    assert len(kept(repair)) == 1


def test_what_happens_while_pictures_are_shrunk_is_noticed(owner, front_desk, repair, folder):
    by, version = owner.staff, repair.version
    note = {"version": version, "text": "Me first."}
    upload = Meanwhile(picture(), lambda: front_desk.htmx(address(repair, "notes"), note))
    with pytest.raises(actions.Stale):
        actions.add_photos(repair, [upload], by=by, version=version)
    db.session.rollback()
    assert events(repair)[-1] == ("noted", "Me first.", False)
    assert kept(repair) == []
    assert files(folder) == []


# --- at intake ----------------------------------------------------------------------------------


def intake(*pictures, **changes):
    """The form for a new repair as a browser sends it."""
    uploads = [FileStorage(BytesIO(content), name) for content, name in pictures] or [FileStorage(BytesIO(), "")]
    who = {"phone": "081 234 5678", "name": "Malee"}
    what = {"item": "Cello", "problem": "A crack.", "photos": uploads}
    rest = {"promise_pick": "none", "technician": "0", "branch": branch("MN").id, "key": "k" * 32}
    return who | what | rest | changes


def repairs():
    return db.session.scalars(select(Repair).order_by(Repair.id)).all()


def test_photos_come_in_with_the_repair(technician, folder):
    answer = post(technician, "/repairs/new", intake((picture(), "a.jpg"), (picture("PNG"), "b.png"), note="Old."), 200)
    (repair,) = repairs()
    assert answer.headers["HX-Redirect"] == f"/repairs/{repair.code}"
    assert [kind for kind, _, _ in events(repair)] == ["received", "noted", "photo_added"]
    assert events(repair)[-1] == ("photo_added", "2 photos", False)
    assert [photo.staff_id for photo in kept(repair)] == [technician.staff_id] * 2
    assert len(technician.page(f"/repairs/{repair.code}").all("#photos img")) == 2
    assert opened(fetch(technician, repair, kept(repair)[0]).content).size == (60, 40)


def test_without_htmx_they_come_in_as_well(owner):
    answer = post(owner, "/repairs/new", intake((picture(), "a.jpg"), then="label"), 303, htmx=False)
    (repair,) = repairs()
    assert answer.location == f"/repairs/{repair.code}/label?print=now"
    assert len(kept(repair)) == 1


@pytest.mark.parametrize("htmx", [True, False])
def test_what_is_no_picture_takes_nothing_in_and_leaves_what_was_typed(owner, folder, htmx):
    form = intake((picture(), "a.jpg"), (b"hello", "notes.txt"), problem="It hums.")
    page = post(owner, "/repairs/new", form, 422, htmx=htmx)
    said = page.one("#intake #photos-error").get_text(strip=True)
    assert said.startswith("“notes.txt” is not a picture")
    assert said.endswith("None of the 2 files was added.")
    assert page.one("#photos")["aria-invalid"] == "true"
    assert page.one("#problem").get_text(strip=True) == "It hums."
    assert repairs() == []
    assert files(folder) == []


def test_a_form_that_is_refused_for_something_else_leaves_no_files(owner, folder):
    make_customer(phone="+66812345678", name="Somchai")
    page = post(owner, "/repairs/new", intake((picture(), "a.jpg")), 422)
    assert page.one("#phone-error")
    assert (repairs(), files(folder)) == ([], [])


def test_more_than_a_dozen_are_refused_at_intake(owner, folder):
    page = post(owner, "/repairs/new", intake(*[(picture(size=(4, 4)), "a.jpg")] * 13), 422)
    assert page.one("#photos-error").get_text(strip=True).startswith("A repair has 12 photos at most")
    assert (repairs(), files(folder)) == ([], [])


def test_a_form_sent_twice_brings_its_photos_once(owner, folder):
    for _ in range(2):
        answer = post(owner, "/repairs/new", intake((picture(), "a.jpg")), 200)
    (repair,) = repairs()
    assert answer.headers["HX-Redirect"] == f"/repairs/{repair.code}"
    assert len(kept(repair)) == 1
    assert len(files(folder)) == 2


def test_photos_that_are_added_to_a_form_that_was_sent_before_are_not_dropped_unsaid(owner, folder):
    post(owner, "/repairs/new", intake(), 200)
    page = post(owner, "/repairs/new", intake((picture(), "a.jpg")), 422)
    assert "This form was sent before" in page.one("#intake [role=alert]").get_text()
    assert len(repairs()) == 1


def test_an_estimate_in_the_currency_of_a_moment_ago_is_not_taken_in(owner, shop, folder):
    by = owner.staff
    fields = {"phone": "+66812345678", "name": "Malee", "email": "", "note": "", "promised_at": None, "key": "k"}
    details = {"item": "Cello", "problem": "A crack.", "serial": "", "accessories": "", "technician_id": None}
    upload = Meanwhile(picture(), lambda: in_currency(owner, "JPY"))
    with pytest.raises(actions.OtherCurrency):
        actions.take_in(shop, branch("MN").id, by=by, uploads=[upload], estimate=10000, **fields, **details)
    db.session.rollback()
    assert (repairs(), files(folder)) == ([], [])


def test_the_front_desk_takes_in_without_photos(front_desk, owner, folder):
    assert owner.page("/repairs/new").one("#intake input[type=file]")
    assert not front_desk.page("/repairs/new").all("#intake input[type=file]")
    post(front_desk, "/repairs/new", intake((picture(), "a.jpg")), 200)
    (repair,) = repairs()
    assert kept(repair) == []
    assert files(folder) == []


def test_nobody_waits_while_the_photos_of_an_intake_are_shrunk(owner, front_desk, shop, folder):
    other = make_repair()
    by, note = owner.staff, {"version": other.version, "text": "Hello."}
    upload = Meanwhile(picture(), lambda: front_desk.htmx(address(other, "notes"), note))
    fields = {"phone": "+66812345678", "name": "Malee", "email": "", "note": "", "promised_at": None, "key": "k"}
    details = {"item": "Cello", "problem": "A crack.", "serial": "", "accessories": "", "technician_id": None}
    details["estimate"] = None
    repair = actions.take_in(shop, branch("MN").id, by=by, uploads=[upload], **fields, **details)
    assert events(other)[-1] == ("noted", "Hello.", False)
    assert len(kept(repair)) == 1


def test_a_session_that_ended_keeps_the_intake_whose_photos_nobody_chose(owner):
    form = intake()
    owner.send("/logout")
    page = post(owner, "/repairs/new", form, 401, htmx=False)
    assert page.one("input[name=item]")["value"] == "Cello"


# --- the customer -------------------------------------------------------------------------------


def test_the_customer_sees_nothing_of_it(owner, anyone, clock):
    clock.set(MORNING)
    repair = make_repair()
    clock.forward(hours=2)
    add(owner, repair, picture(), picture())
    first, second = kept(repair)
    remove(owner, repair, first)
    for url in (f"/t/{repair.token}", f"/t/{repair.token}/live"):
        page = anyone.page(url)
        assert "photo" not in page.html.lower()
        assert second.name not in page.html
        assert page.one("#updated")["datetime"] == "2026-11-23T03:00:00Z", "a photo is no news for the customer"
    receipt = owner.page(address(repair, "receipt"))
    assert second.name not in receipt.html
    assert "photo" not in receipt.text.lower()


def test_the_limits_are_those_of_the_design():
    assert pictures.MOST_PIXELS == 50_000_000
    assert photos.SIDES == {"": 2000, "-small": 480}

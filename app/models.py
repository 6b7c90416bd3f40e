"""Every table: columns, relations and what can be derived from a row. No queries, no changes."""

from datetime import datetime, timedelta

from flask import g
from flask_babel import gettext as _
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, event, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from . import rules
from .db import Json, UtcDateTime, db, utcnow
from .rules import Kind, Role, Status

# Enumerations are kept as their value, in text: readable in any tool, and a new one needs no migration.
WORD = String(20)
# How long a link by which somebody chooses a password can be used.
INVITED_FOR = timedelta(hours=72)


class Shop(db.Model):
    """The shop: one row, made at set-up."""

    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, default=1)
    name: Mapped[str] = mapped_column(String(80))
    code: Mapped[str] = mapped_column(String(2))
    country: Mapped[str] = mapped_column(String(2))
    timezone: Mapped[str] = mapped_column(String(64))
    currency: Mapped[str] = mapped_column(String(3))
    phone: Mapped[str] = mapped_column(String(20))
    whatsapp: Mapped[str] = mapped_column(String(20), default="")
    address: Mapped[str] = mapped_column(Text, default="")
    public_url: Mapped[str] = mapped_column(String(200))
    link_days: Mapped[int] = mapped_column(default=90)
    # What customers read about a status, where the shop has words of its own: {status: sentence}.
    sentences: Mapped[dict] = mapped_column(Json, default=dict, server_default="{}")
    # Which details the customer's page leaves out: some of rules.DETAILS.
    hidden: Mapped[list] = mapped_column(Json, default=list, server_default="[]")
    # The hash of the logo's picture, by which its address changes; "" for none. And its size in pixels.
    logo: Mapped[str] = mapped_column(String(16), default="", server_default=text("''"))
    logo_width: Mapped[int] = mapped_column(default=0, server_default="0")
    logo_height: Mapped[int] = mapped_column(default=0, server_default="0")
    # "dark" for a logo that would be lost on a dark ground, "light" for one on a light ground; else "".
    logo_tone: Mapped[str] = mapped_column(WORD, default="", server_default=text("''"))
    # What stands on receipts below all else, and what they and the labels are printed on: names of printing.PAPERS.
    terms: Mapped[str] = mapped_column(Text, default="", server_default=text("''"))
    receipt_paper: Mapped[str] = mapped_column(WORD, default="a4", server_default="a4")
    label_paper: Mapped[str] = mapped_column(WORD, default="62mm", server_default="62mm")
    # What its customers read, and whoever of its staff has not chosen another: a name of language.NAMES.
    language: Mapped[str] = mapped_column(WORD, default="en", server_default="en")
    # Raised by every change of the shop or a branch: open tracking pages show it too.
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class Logo(db.Model):
    """The shop's logo: one row, or none. In the database, so that every copy and every machine has it."""

    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, default=1)
    picture: Mapped[bytes] = mapped_column(LargeBinary)


class Branch(db.Model):
    """A place where repairs are taken in. Its own phone, WhatsApp number and address go before the shop's."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    code: Mapped[str] = mapped_column(String(2), unique=True)
    phone: Mapped[str] = mapped_column(String(20), default="")
    whatsapp: Mapped[str] = mapped_column(String(20), default="")
    address: Mapped[str] = mapped_column(Text, default="")
    # Opening hours by day of the week, Monday first: hours.Week says what is in it. Empty: not said.
    hours: Mapped[list] = mapped_column(Json, default=list, server_default="[]")
    next_number: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class Staff(db.Model):
    """A person who signs in."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    # "" until the person has chosen a password.
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(WORD)
    # Where they work, and what they see of the shop. An owner works everywhere, and may have none.
    branch_id: Mapped[int | None] = mapped_column(ForeignKey("branch.id"))
    active: Mapped[bool] = mapped_column(default=True)
    # The language of their own pages: a name of language.NAMES, "" for the shop's.
    language: Mapped[str] = mapped_column(WORD, default="", server_default=text("''"))
    # The second step at sign-in: its secret in base 32, "" for none; and the last 30-second step whose code was used.
    totp_secret: Mapped[str] = mapped_column(String(64), default="", server_default=text("''"))
    totp_step: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    branch: Mapped[Branch | None] = relationship()

    def may(self, permission: str) -> bool:
        """Whether this person's role has the permission."""
        return rules.may(Role(self.role), permission)

    def sees(self, branch_id: int) -> bool:
        """Whether this person sees what belongs to that branch."""
        return self.role == Role.OWNER or self.branch_id == branch_id


class RecoveryCode(db.Model):
    """Stands in for a second step once, when the telephone is lost. The row goes when it is used."""

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    code_hash: Mapped[str] = mapped_column(String(200))


class Invitation(db.Model):
    """A link by which a person chooses a password, for the first time or anew. The row goes when it is used."""

    id: Mapped[int] = mapped_column(primary_key=True)
    # SHA-256 of the link's secret: a stolen copy of the database lets nobody in.
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    # One at a time: a new one takes the place of the last.
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), unique=True)
    invited_by_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    staff: Mapped[Staff] = relationship(foreign_keys=staff_id)

    @property
    def ends_at(self) -> datetime:
        """Until when it can be used."""
        return self.created_at + INVITED_FOR


class SignIn(db.Model):
    """A browser that is signed in. The row is the session: without it the cookie means nothing."""

    id: Mapped[int] = mapped_column(primary_key=True)
    # SHA-256 of the cookie's secret: a stolen copy of the database signs nobody in.
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    # Roughly which browser, for its owner to know it by: formats.browser.
    agent: Mapped[str] = mapped_column(String(40), default="", server_default=text("''"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    staff: Mapped[Staff] = relationship(lazy="joined", innerjoin=True)


class Throttle(db.Model):
    """A counter of failures for Flask-Limiter, shared by all workers and kept over a restart."""

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    count: Mapped[int]
    expires_at: Mapped[float] = mapped_column(index=True)


class Customer(db.Model):
    """Whose repairs they are. One per phone number."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    phone: Mapped[str] = mapped_column(String(20), unique=True)
    email: Mapped[str] = mapped_column(String(254), default="")
    # Name, phone and email folded, for search: neither database folds every alphabet by itself. Customers are listed in
    # this order too, so that Zoe comes after amélie.
    search: Mapped[str] = mapped_column(Text, index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    # Whose repairs went over to another customer (Merge says to whom), and whose personal data was erased on request.
    merged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    erased_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    repairs: Mapped[list["Repair"]] = relationship(back_populates="customer", order_by="Repair.id.desc()")

    @property
    def called(self) -> str:
        """Their name; of somebody who was erased: that they were, in the language spoken now."""
        return _("Erased customer") if self.erased_at else self.name


class Merge(db.Model):
    """Two customers who turned out to be one. It can be undone, so it remembers what was whose."""

    id: Mapped[int] = mapped_column(primary_key=True)
    kept_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    gone_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    # The repairs that went over, by their id; and what the one who was kept had before and after: {field: [old, new]},
    # with the number that the one who is gone came with: {"own_phone": number}.
    repairs: Mapped[list] = mapped_column(Json, default=list)
    before: Mapped[dict] = mapped_column(Json, default=dict)
    undone_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    kept: Mapped[Customer] = relationship(foreign_keys=kept_id)
    gone: Mapped[Customer] = relationship(foreign_keys=gone_id)
    staff: Mapped[Staff] = relationship()


class Repair(db.Model):
    """One thing left with the shop, from the door to the hand-over."""

    __table_args__ = (
        # What is open, by its promise; what is finished, by when it was: on PostgreSQL with the id in it, as migration
        # 0006 says. To say so here would load that dialect everywhere.
        Index("ix_repair_status_promised_at", "status", "promised_at"),
        Index("ix_repair_status_moved_at", "status", "moved_at"),
        Index("ix_repair_branch_id_status_promised_at", "branch_id", "status", "promised_at"),
        Index("ix_repair_branch_id_status_moved_at", "branch_id", "status", "moved_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(String(20), unique=True)
    token: Mapped[str] = mapped_column(String(32), unique=True)
    # Made with the empty intake form: the same form sent twice makes one repair.
    intake_key: Mapped[str | None] = mapped_column(String(32), unique=True)
    # Raised by every change: what a form was drawn for.
    version: Mapped[int] = mapped_column(default=1)
    # Raised by every change that the customer's page shows.
    public_version: Mapped[int] = mapped_column(default=1, server_default="1")
    branch_id: Mapped[int] = mapped_column(ForeignKey("branch.id"))
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    technician_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"), index=True)
    item: Mapped[str] = mapped_column(String(120))
    problem: Mapped[str] = mapped_column(Text)
    serial: Mapped[str] = mapped_column(String(80), default="")
    accessories: Mapped[str] = mapped_column(String(200), default="")
    # In minor units of the shop's currency.
    estimate: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(WORD, default=Status.RECEIVED)
    paused_from: Mapped[str | None] = mapped_column(WORD)
    promised_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    moved_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    search: Mapped[str] = mapped_column(Text)

    branch: Mapped[Branch] = relationship()
    customer: Mapped[Customer] = relationship(back_populates="repairs")
    technician: Mapped[Staff | None] = relationship()
    events: Mapped[list["Event"]] = relationship(back_populates="repair", order_by="Event.id")

    @property
    def stage(self) -> Status:
        """The status as the rules know it."""
        return Status(self.status)

    @property
    def next_stage(self) -> Status | None:
        """Where its one big button leads: the next step, or back to where it was paused; None for nowhere."""
        return Status(self.paused_from) if self.paused_from else rules.next_step(self.stage)

    @property
    def closed(self) -> bool:
        """Handed back or cancelled."""
        return self.status in rules.CLOSED

    def is_late(self, now: datetime) -> bool:
        """Past its promise and not ready yet."""
        return self.promised_at is not None and self.promised_at <= now and self.status in rules.UNFINISHED


class Event(db.Model):
    """Something that happened to a repair. Written once; never changed, never deleted."""

    __table_args__ = (Index("ix_event_at", "at"), Index("ix_event_staff_id_at", "staff_id", "at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    repair_id: Mapped[int] = mapped_column(ForeignKey("repair.id"), index=True)
    staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    kind: Mapped[str] = mapped_column(WORD)
    # From what to what: statuses for a move, ISO 8601 times for a promise; for an edit, new names the fields. Of an
    # update that is taken back, old is the event's id.
    old: Mapped[str | None] = mapped_column(String(80))
    new: Mapped[str | None] = mapped_column(String(80))
    # The reason, the note, the update, or what was edited.
    text: Mapped[str] = mapped_column(Text, default="")
    # Whether the customer reads the text.
    public: Mapped[bool] = mapped_column(default=False)

    repair: Mapped[Repair] = relationship(back_populates="events")
    staff: Mapped[Staff | None] = relationship()

    @property
    def old_promise(self) -> datetime | None:
        """The promise before, for an event that changed it."""
        return datetime.fromisoformat(self.old) if self.kind == Kind.PROMISED and self.old else None

    @property
    def new_promise(self) -> datetime | None:
        """The promise since, for an event that changed it."""
        return datetime.fromisoformat(self.new) if self.kind == Kind.PROMISED and self.new else None


class Activity(db.Model):
    """Something that happened in the shop and to no single repair. Written once; never changed, never deleted."""

    __table_args__ = (Index("ix_activity_at", "at"), Index("ix_activity_staff_id_at", "staff_id", "at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    staff_id: Mapped[int | None] = mapped_column(ForeignKey("staff.id"))
    kind: Mapped[str] = mapped_column(WORD)
    # Where it happened; none for what concerns the whole shop, which only an owner sees.
    branch_id: Mapped[int | None] = mapped_column(ForeignKey("branch.id"))
    # Of whom or what it speaks: "staff 4", "customer 12", "branch 2"; "" for the shop. No name: that may be erased.
    subject: Mapped[str] = mapped_column(String(40), default="")
    text: Mapped[str] = mapped_column(Text, default="")

    staff: Mapped[Staff | None] = relationship()
    branch: Mapped[Branch | None] = relationship()


class SavedFilter(db.Model):
    """A view of the board that somebody goes back to."""

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"), index=True)
    name: Mapped[str] = mapped_column(String(40))
    # The board's query string.
    query: Mapped[str] = mapped_column(Text)


class Photo(db.Model):
    """A picture of what was left, which only staff sees. repairs.photos keeps its files."""

    id: Mapped[int] = mapped_column(primary_key=True)
    repair_id: Mapped[int] = mapped_column(ForeignKey("repair.id"), index=True)
    staff_id: Mapped[int] = mapped_column(ForeignKey("staff.id"))
    # The stem of the files' names: made by us, and never used again.
    name: Mapped[str] = mapped_column(String(40), unique=True)
    # Of the full picture, in pixels.
    width: Mapped[int]
    height: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    staff: Mapped[Staff] = relationship()


@event.listens_for(Event, "before_update")
@event.listens_for(Event, "before_delete")
@event.listens_for(Activity, "before_update")
@event.listens_for(Activity, "before_delete")
def _keep_history(mapper, connection, row):
    """What happened, happened. Only customers.erasing takes words out of it, past this, because the law asks it to."""
    raise TypeError(f"{type(row).__name__} {row.id} is history, which nobody changes")


def get_shop() -> Shop | None:
    """The shop, read once a request; None before set-up."""
    if "shop" not in g:
        g.shop = db.session.get(Shop, 1)
    return g.shop


def contact(shop: Shop, branch: Branch) -> dict[str, str]:
    """Where a branch's customers reach it: its own phone and WhatsApp number (E.164) and address, else the shop's."""
    return {
        "phone": branch.phone or shop.phone,
        "whatsapp": branch.whatsapp or shop.whatsapp,
        "address": branch.address or shop.address,
    }


def tracking_url(shop: Shop, repair: Repair) -> str:
    """The customer's link, on the shop's public address whatever address the request came to."""
    return f"{shop.public_url}/t/{repair.token}"

"""Pages for paper: the receipt that the customer takes home."""

from flask import Blueprint, render_template

from . import sharing
from .models import contact, get_shop, tracking_url
from .repairs.queries import get_repair

bp = Blueprint("printing", __name__, url_prefix="/repairs")


@bp.get("/<code>/receipt")
def receipt(code):
    """The receipt: shop, code, item, problem, link and QR code; nothing internal."""
    repair, shop = get_repair(code, "repairs.view"), get_shop()
    url = tracking_url(shop, repair)
    return render_template(
        "printing/receipt.html", repair=repair, url=url, qr=sharing.qr(url), contact=contact(shop, repair.branch)
    )

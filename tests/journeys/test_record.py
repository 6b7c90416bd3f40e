"""Customers and the record in a real browser: what is typed and chosen shows at once, and the pages stay whole."""

from ..factories import make_customer, make_repair


def test_a_manager_finds_the_other_entry_of_a_customer_merges_and_undoes(counter, shop):
    with shop.inside():
        kept = make_customer(name="Malee Suk", phone="+66812345678").id
        make_repair(customer=make_customer(name="M. Sukhumvit", phone="+66899999999"), item="Casio CZ-101")
    page = counter("manager", at=f"/customers/{kept}")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="Merge with another").click()
    page.locator("#q").press_sequentially("sukhum")
    page.locator("#results").get_by_role("link", name="M. Sukhumvit").click()
    page.get_by_label("M. Sukhumvit").check()
    page.get_by_role("button", name="Merge").click()
    page.get_by_role("heading", name="M. Sukhumvit", exact=True).wait_for()
    page.get_by_text("Casio CZ-101").wait_for()
    page.get_by_role("link", name="Undo").click()
    page.get_by_role("button", name="Undo the merge").click()
    page.get_by_text("They are two customers again").or_(page.get_by_text("Undone")).wait_for()
    page.goto(f"{shop.url}/customers/{kept}")
    page.get_by_role("heading", name="Malee Suk", exact=True).wait_for()


def test_the_record_and_a_history_show_what_is_chosen_without_a_new_page(counter, shop):
    with shop.inside():
        code = make_repair(item="Casio CZ-101", note="Keys stick").code
    page = counter("owner", at=f"/activity?code={code}")
    page.evaluate("window.stayed = true")
    page.get_by_label("Kind").select_option("talk")
    page.locator(".record li", has_text="took in").wait_for(state="detached")
    assert page.locator(".record li").count() == 1
    page.get_by_label("Kind").select_option("")
    page.locator(".record li", has_text="took in").wait_for()
    assert page.evaluate("window.stayed")

    page.goto(f"{shop.url}/repairs/{code}")
    page.get_by_label("Internal note").fill("not sent yet")
    page.locator("#history").get_by_role("link", name="Moves").click()
    page.locator("#history li", has_text="Keys stick").wait_for(state="detached")
    assert page.get_by_label("Internal note").input_value() == "not sent yet"
    page.get_by_role("button", name="Add note").click()
    page.locator("#notes", has_text="not sent yet").wait_for()

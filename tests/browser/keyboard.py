"""The keyboard alone: what Tab does not reach, or reaches without showing it, and dates that cannot be typed."""

from playwright.sync_api import Page

# Presses nothing: numbers what can be used, in the order of the page, and tells how many there are.
NUMBER = """() => {
  const usable = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
    .filter(one => !one.disabled && one.type !== 'hidden' && one.checkVisibility({visibilityProperty: true}))
    .filter(one => one.type !== 'radio' || one === (document.querySelector(`[name="${one.name}"]:checked`)
      ?? document.querySelector(`[name="${one.name}"]`)));
  usable.forEach((one, number) => one.dataset.number = number);
  return usable.length;
}"""
# Which of them has the focus, whether that is seen, and what it is.
FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const seen = style.outlineStyle !== 'none' || style.boxShadow !== 'none';
  const number = one.dataset.number === undefined ? null : Number(one.dataset.number);
  return [number, seen, one.type, one.outerHTML.slice(0, 120)];
}"""
# Fields in parts: what is typed into them where the year comes last, and what they then hold.
PARTED = {
    "date": ("01022031", "2031-01-02"),
    "datetime-local": ("01022031\t1030AM", "2031-01-02T10:30"),
    "month": ("Jan\t2031", "2031-01"),
}
# Wherever a field had taken the focus by itself.
FROM_THE_START = "() => { const it = document.body; it.tabIndex = -1; it.focus(); it.removeAttribute('tabindex') }"
NAME = 'number => document.querySelector(`[data-number="${number}"]`).outerHTML.slice(0, 120)'


def missed(page: Page) -> list[str]:
    """Press Tab through a page that was just loaded; return what was wrong, empty when nothing was."""
    page.evaluate(FROM_THE_START)
    count, order, wrong = page.evaluate(NUMBER), list[int](), list[str]()
    for _ in range(4 * count + 4):  # a date has several stops
        page.keyboard.press("Tab")
        number, seen, kind, html = page.evaluate(FOCUSED)
        if number is None or (number == 0 and len(order) > 1):  # once around
            break
        is_new = number not in order
        order.append(number)
        if not seen:
            wrong.append(f"not seen: {html}")
        if is_new and kind in PARTED and (held := _type(page, PARTED[kind][0])) != PARTED[kind][1]:
            wrong.append(f"holds {held!r} when {PARTED[kind][0]!r} is typed: {html}")
    if order != sorted(order):
        wrong.append(f"out of order: {order}")
    return wrong + [f"not reached: {page.evaluate(NAME, number)}" for number in sorted(set(range(count)) - set(order))]


def _type(page: Page, keys: str) -> str:
    """Press these keys in the field that has the focus; return what it holds then."""
    for key in keys:
        page.keyboard.press("Tab" if key == "\t" else key)
    return str(page.evaluate("document.activeElement.value"))

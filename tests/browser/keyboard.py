"""The keyboard alone: what Tab does not reach on a page, or reaches without showing it."""

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
# Which of them has the focus, and whether that is seen; the parts of a date show it by themselves.
FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const seen = style.outlineStyle !== 'none' || style.boxShadow !== 'none' || /^(date|month)/.test(one.type || '');
  return [one.dataset.number === undefined ? null : Number(one.dataset.number), seen, one.outerHTML.slice(0, 120)];
}"""
# Wherever a field had taken the focus by itself.
FROM_THE_START = "() => { const it = document.body; it.tabIndex = -1; it.focus(); it.removeAttribute('tabindex') }"
NAME = 'number => document.querySelector(`[data-number="${number}"]`).outerHTML.slice(0, 120)'


def missed(page: Page) -> list[str]:
    """Press Tab through a page that was just loaded; return what was wrong, empty when nothing was."""
    page.evaluate(FROM_THE_START)
    count, order, wrong = page.evaluate(NUMBER), list[int](), list[str]()
    for _ in range(4 * count + 4):  # a date has several stops
        page.keyboard.press("Tab")
        number, seen, html = page.evaluate(FOCUSED)
        if number is None or (number == 0 and len(order) > 1):  # once around
            break
        order.append(number)
        if not seen:
            wrong.append(f"not seen: {html}")
    if order != sorted(order):
        wrong.append(f"out of order: {order}")
    return wrong + [f"not reached: {page.evaluate(NAME, number)}" for number in sorted(set(range(count)) - set(order))]

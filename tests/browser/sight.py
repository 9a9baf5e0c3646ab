"""What an eye can tell apart: contrast and size of what a page shows, measured in the browser."""

import io

from PIL import Image

# Colors come in any CSS notation; a canvas turns each into red, green, blue, alpha.
STYLE = """const rgba = (() => {
  const context = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  return css => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = css;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
})();
const opacity = node => {
  let all = 1;
  for (let e = node; e instanceof Element; e = e.parentElement) all *= getComputedStyle(e).opacity;
  return all;
};
// Chromium's checkVisibility calls drawn what stands in a hidden group of an SVG.
const shown = node => {
  for (let e = node; e instanceof Element; e = e.parentElement)
    if (getComputedStyle(e).display === 'none') return false;
  return node.checkVisibility({visibilityProperty: true, opacityProperty: true});
};"""

# Every run of text: what it says, where it is, its color. Text kept for screen readers alone is
# clipped to a pixel; what is disabled is exempt from contrast (WCAG 2.2, 1.4.3).
TEXTS = f"""root => {{ {STYLE}
  const found = [];
  const add = (element, text, box, color) => {{
    if (!text.trim() || !shown(element) || element.closest(':disabled, [aria-disabled="true"]'))
      return;
    let {{left, top, right, bottom}} = box;
    for (let e = element; e !== root.parentElement; e = e.parentElement) {{
      if (getComputedStyle(e).overflow === 'visible') continue;
      const frame = e.getBoundingClientRect();
      [left, top] = [Math.max(left, frame.left), Math.max(top, frame.top)];
      [right, bottom] = [Math.min(right, frame.right), Math.min(bottom, frame.bottom)];
    }}
    if (right - left < 3 || bottom - top < 3) return;
    const [r, g, b, a] = rgba(color);
    found.push({{text: text.trim().slice(0, 40), color: [r, g, b, a / 255 * opacity(element)],
                 box: [left, top, right, bottom]}});
  }};
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {{
    const node = walker.currentNode, element = node.parentElement;
    if (['STYLE', 'TITLE', 'DESC', 'OPTION'].includes(element.tagName.toUpperCase())) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const style = getComputedStyle(element);
    const color = element instanceof SVGElement ? style.fill : style.color;
    add(element, node.textContent, range.getBoundingClientRect(), color);
  }}
  for (const input of root.querySelectorAll('input:not([type=checkbox]):not([type=radio])'))
    add(input, input.value, input.getBoundingClientRect(), getComputedStyle(input).color);
  return found;
}}"""

# Strokes, fills and borders of the things a selector names, and the color of the ground under them.
MARKS = f"""(root, selector) => {{ {STYLE}
  const over = (top, under) => top.slice(0, 3).map(
    (c, i) => c * top[3] + under[i] * (1 - top[3]));
  const ground = element => {{
    const layers = [];
    for (let e = element; e; e = e.parentElement) {{
      const [r, g, b, a] = rgba(getComputedStyle(e).backgroundColor);
      layers.push([r, g, b, a / 255]);
    }}
    return layers.reduceRight((under, layer) => over(layer, under), [255, 255, 255]);
  }};
  const found = [];
  for (const mark of root.querySelectorAll(selector)) {{
    if (!shown(mark) || !mark.getClientRects().length) continue;
    if (mark.closest(':disabled, [aria-disabled="true"]')) continue;
    const style = getComputedStyle(mark);
    const drawn = mark instanceof SVGElement;
    const under = ground(drawn ? mark : mark.parentElement);
    const parts = drawn ? ['stroke', 'fill'] : ['borderTopColor', 'backgroundColor'];
    const seen = parts.filter(part => style[part] !== 'none').map(part => {{
      const [r, g, b, a] = rgba(style[part]);
      const own = (style[`${{part}}Opacity`] ?? 1) * opacity(mark);
      return over([r, g, b, a / 255 * own], under);
    }});
    if (seen.length) found.push({{mark: mark.outerHTML.slice(0, 120), under, seen}});
  }}
  return found;
}}"""

# What takes a click. A box to tick is as large as the label around it.
TARGETS = f"""root => {{ {STYLE}
  const what = 'button, input, select, textarea, summary, a[href], [data-key]';
  return [...root.querySelectorAll(what)].filter(
    e => shown(e) && e.getClientRects().length && !/^p:/.test(e.dataset.key ?? '')
  ).map(e => {{
    const box = (e.closest('label') ?? e).getBoundingClientRect();
    const name = e.dataset.key ?? e.dataset.cmd ?? e.dataset.field ?? e.outerHTML.slice(0, 80);
    return {{name, width: box.width, height: box.height}};
  }});
}}"""


def luminance(color) -> float:
    """Relative luminance of an sRGB color of 0..255 (WCAG 2.2)."""
    parts = [c / 255 for c in color[:3]]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one, other) -> float:
    """Contrast of two colors, 1 to 21 (WCAG 2.2)."""
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def still(page) -> None:
    """Waits until nothing moves or fades."""
    page.evaluate("() => Promise.allSettled(document.getAnimations().map(a => a.finished))")


def pale_texts(root, least: float = 4.5) -> list[str]:
    """Texts under `root` with too little contrast to what is painted behind them.

    The ground is the color that fills most of a text's box in a screenshot, so it holds for text
    in front of shapes too.
    """
    still(root.page)
    picture = Image.open(io.BytesIO(root.page.screenshot())).convert("RGB")
    pale = []
    for found in root.evaluate(TEXTS):
        box = [round(side) for side in found["box"]]
        if box[0] < 0 or box[1] < 0 or box[2] > picture.width or box[3] > picture.height:
            raise ValueError(f"{found['text']!r} lies outside the screenshot: {box}")
        ground = _main_color(picture.crop(box))
        *ink, alpha = found["color"]
        ink = [alpha * i + (1 - alpha) * g for i, g in zip(ink, ground, strict=True)]
        ratio = contrast(ink, ground)
        if ratio < least:
            pale.append(f"{found['text']!r}: {ratio:.2f}, {[round(i) for i in ink]} on {ground}")
    return pale


def pale_marks(root, selector: str, least: float = 3.0) -> list[str]:
    """Drawn marks under `root` whose strongest color has too little contrast to the ground."""
    still(root.page)
    marks = root.evaluate(MARKS, selector)
    assert marks, f"nothing is drawn as {selector}"
    best = [(max(contrast(s, m["under"]) for s in m["seen"]), m["mark"]) for m in marks]
    return [f"{ratio:.2f}: {mark}" for ratio, mark in best if ratio < least]


def small_targets(root, least: float = 24.0) -> list[str]:
    """What takes a click under `root` and is smaller than `least` CSS pixels either way."""
    return [
        f"{t['name']}: {t['width']:.1f} x {t['height']:.1f}"
        for t in root.evaluate(TARGETS)
        if min(t["width"], t["height"]) < least - 0.01
    ]


def _main_color(picture) -> tuple[int, int, int]:
    """The color of most pixels."""
    return max(picture.getcolors(maxcolors=picture.width * picture.height))[1]

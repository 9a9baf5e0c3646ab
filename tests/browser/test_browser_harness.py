"""The harness itself: what it says about a cell, Python and the mouse is so."""

import lab
import pytest
import sight

BUTTON = """
import ipywidgets
clicks = []
button = ipywidgets.Button(description="Press me")
button.on_click(clicks.append)
button
"""


def test_a_click_in_the_browser_reaches_python(open_notebook):
    notebook = open_notebook([BUTTON, "1 / 0"])
    assert "application/vnd.jupyter.widget-view+json" in notebook.run(0)[0]["data"]
    assert notebook.ask("len(clicks)") == 0
    notebook.page.mouse.click(*lab.center(notebook.page.get_by_role("button", name="Press me")))
    notebook.until("len(clicks)", 1)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        notebook.run(1)


SIGHT = '''
import ipywidgets
ipywidgets.HTML("""<div id="sheet" style="background: #fff; padding: 10px">
<span style="color: #777">pale</span> <span style="color: #767676">dark enough</span>
<span style="color: rgba(0, 0, 0, 0.4)">thin</span>
<span style="display: none; color: #eee">hidden</span>
<button style="width: 23px; height: 30px; padding: 0"></button>
<button style="width: 24px; height: 24px; padding: 0"></button>
<svg width="40" height="20" style="background: #fff">
<circle cx="10" cy="10" r="5" fill="none" stroke="#949494"/>
<circle cx="30" cy="10" r="5" fill="none" stroke="#969696"/></svg></div>""")
'''


def test_contrast_and_size_are_measured_right(open_notebook):
    notebook = open_notebook([SIGHT])
    notebook.run(0)
    sheet = notebook.page.locator("#sheet")
    # 4.48, 4.54 and 2.85 by the formula of WCAG; 3.03 and 2.96 for the circles.
    assert [p.split(",")[0] for p in sight.pale_texts(sheet)] == ["'pale': 4.48", "'thin': 2.85"]
    pale = sight.pale_marks(sheet, "circle")
    assert len(pale) == 1
    assert pale[0].startswith("2.9")
    assert len(sight.small_targets(sheet)) == 1


def test_black_on_white_is_21():
    assert sight.contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert sight.contrast((118, 118, 118), (255, 255, 255)) == pytest.approx(4.54, abs=0.005)

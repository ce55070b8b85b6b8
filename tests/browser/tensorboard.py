"""What TensorBoard shows of the demo's sample logs, and how to tell that it does."""

from __future__ import annotations

import json
from functools import partial

from playwright.sync_api import Locator, Page, expect

from tests.support.client import ask
from tests.support.waiting import until

from .chromium import PATIENCE_MS

# Of examples/sample_logs.py.
RUNS = {"augmented", "baseline"}
TAGS = {"accuracy/validation", "learning_rate", "loss/train", "loss/validation"}
LAST_STEP = "399"

# The colours of the lines across at least half of a chart. TensorBoard draws on a canvas, or with
# SVG where Chromium has no WebGL.
COLOURS_OF_LINES = """
chart => {
  const canvas = chart.querySelector(".series-view canvas");
  if (!canvas) {
    const paths = [...chart.querySelectorAll(".series-view path")];
    const long = paths.filter(path => path.getBBox().width > chart.clientWidth / 2);
    return [...new Set(long.map(path => getComputedStyle(path).stroke))];
  }
  const { width, height } = canvas;
  if (!width || !height) return [];
  const copy = new OffscreenCanvas(width, height).getContext("2d");
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  const columns = {};
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] == 255) {
      const colour = `rgb(${data[i]}, ${data[i + 1]}, ${data[i + 2]})`;
      (columns[colour] ??= new Set()).add(i / 4 % width);
    }
  }
  return Object.keys(columns).filter(colour => columns[colour].size > width / 2);
}
"""


def wait_for_the_logs(port: int) -> None:
    """Until TensorBoard has read them. It answers before, and its page would then show what it has
    and ask again after half a minute."""
    until(lambda: has_the_logs(port), "TensorBoard has read the logs", PATIENCE_MS / 1000)


def has_the_logs(port: int) -> bool:
    """Each run to its end; the last that it logs of each step is the learning rate."""
    target = "/data/plugin/scalars/scalars?tag=learning_rate&run="
    replies = [ask(port, "GET", target + run, host=f"localhost:{port}") for run in RUNS]
    return all(
        reply.status == 200 and str(json.loads(reply.body)[-1][1]) == LAST_STEP for reply in replies
    )


def see_the_charts(page: Page) -> None:
    """Every tag of the sample logs has its chart, with a line in the colour of each run."""
    expect(page).to_have_title("TensorBoard")
    colours = colours_of_runs(page)
    unfold_the_last_group(page)
    cards = page.locator("scalar-card")
    expect(cards).to_have_count(len(TAGS))
    seen = {look_at(card, colours) for card in cards.all()}
    assert seen == TAGS


def colours_of_runs(page: Page) -> dict[str, str]:
    """What the list of runs on the left says."""
    rows = page.locator("runs-data-table tb-data-table-content-row")
    expect(rows).to_have_count(len(RUNS))
    colours = {}
    for row in rows.all():
        swatch = row.locator(".run-color-swatch")
        colours[row.inner_text().strip()] = swatch.evaluate("e => e.style.backgroundColor")
    assert set(colours) == RUNS
    assert len(set(colours.values())) == len(RUNS)
    return colours


def unfold_the_last_group(page: Page) -> None:
    """TensorBoard shows the first two groups of tags, once it has them, and folds up the third."""
    expect(page.locator("scalar-card")).to_have_count(2)
    page.locator("button.group-toolbar", has_text="loss").click()


def look_at(card: Locator, colours: dict[str, str]) -> str:
    """The tag of the card, when everything in it is as it should be."""
    chart = card.locator("line-chart")
    until(
        lambda: set(chart.evaluate(COLOURS_OF_LINES)) >= set(colours.values()),
        "a line in the colour of each run",
        PATIENCE_MS / 1000,
    )
    for axis in ("x", "y"):
        ticks = [text.text_content() for text in chart.locator(f".{axis}-axis text").all()]
        assert len(set(ticks)) > 2, f"numbers along the {axis} axis"
    table = card.locator("tb-data-table-content-row")
    expect(table).to_have_count(len(colours))
    for run in colours:
        expect(table.filter(has_text=run)).to_contain_text(LAST_STEP)
    return card.locator("tb-truncated-path").get_attribute("title") or ""


def see_the_scalars_tab(page: Page) -> None:
    """The same logs as the older tab of TensorBoard draws them."""
    page.get_by_role("tab", name="Scalars").click()
    group = page.locator("tf-category-paginated-view", has_text="loss")
    group.get_by_role("button", name="loss").click()  # once it is there: the last one is closed
    cards = page.locator("tf-scalar-card")
    expect(cards).to_have_count(len(TAGS))
    for card in cards.all():
        lines = card.locator("path.line")
        until(partial(has_a_line_for_each_run, lines), "they are drawn", PATIENCE_MS / 1000)


def has_a_line_for_each_run(lines: Locator) -> bool:
    return len(set(lines.evaluate_all(COLOURS_OF_LONG_PATHS))) == len(RUNS)


COLOURS_OF_LONG_PATHS = """
paths => paths.filter(path => path.getBBox().width > 100).map(path => getComputedStyle(path).stroke)
"""

"""What axe-core finds wrong with a page."""

from __future__ import annotations

from typing import Any


async def violations(
    page: Any, *, include: str = "html", exclude: str = ""
) -> list[tuple[str, list[str]]]:
    """Return what is serious or critical: the rule, and the elements that break it.

    Parameters
    ----------
    page
        Of Playwright.
    include, exclude
        Selectors of what is looked at; nothing is excluded by default.
    """
    # Only here, as it is for the tests in a browser alone.
    from axe_playwright_python.async_playwright import Axe

    # The body of the lab has no height and hides what is beyond it, which is everything: axe-core
    # takes none of it to be visible, and looks at no colours.
    await page.add_style_tag(content="body { overflow: visible !important }")
    context = {"include": [include]} | ({"exclude": [exclude]} if exclude else {})
    found = await Axe().run(page, context)
    assert "color-contrast" not in [each["id"] for each in found.response["inapplicable"]]
    return [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]

"""What is counted is what somebody does in the lab."""

import asyncio
import json

import pytest

from tests.support.jupyter_server import TOKEN

pytestmark = pytest.mark.browser

NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "id": name, "metadata": {}, "outputs": [], "execution_count": None}
        | {"source": source}
        for name, source in (("works", "print(6 * 7)"), ("fails", "1 / 0"))
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


async def test_cells_that_are_run_in_the_lab_are_counted(start_lab, open_page):
    lab = start_lab(CellMetrics={"enabled": True, "paths": "whole"})
    lab.folder.joinpath("week.ipynb").write_text(json.dumps(NOTEBOOK))
    page = await open_page()
    await page.goto(f"{lab.url}/lab/tree/week.ipynb?token={TOKEN}")
    idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']")
    await idle.first.wait_for(timeout=120_000)
    cells = page.locator(".jp-CodeCell .cm-content")
    for number, output in enumerate(("42", "ZeroDivisionError")):
        await cells.nth(number).click()
        await page.keyboard.press("Shift+Enter")
        await page.locator(".jp-OutputArea-output", has_text=output).first.wait_for(timeout=120_000)
    label = '{kernel="python3",path="week.ipynb"}'
    expected = {
        f"jhk8s_cells_executed_total{label}": 2,
        f"jhk8s_cell_errors_total{label}": 1,
        f"jhk8s_kernel_starts_total{label}": 1,
    }
    for _ in range(100):
        found = lab.metrics("jhk8s_")
        if found == expected:
            return
        await asyncio.sleep(0.1)
    assert found == expected

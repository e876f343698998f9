"""Sizings to make pages of, and a browser to open them in."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sparq_profiles import HardwareProfile, ModelProfile, load_hardware, load_model
from sparq_roofline.deployment.candidates import Demand
from sparq_roofline.deployment.question import Question

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def ask() -> Callable[..., Question]:
    """A question; models and devices by name or as profiles."""

    def _ask(
        model: str | ModelProfile = "llama-3-8b",
        hardware: tuple[str | HardwareProfile, ...] = ("h100-sxm-80gb", "l4-24gb"),
        **more: Any,
    ) -> Question:
        asked = {"context": 8000, "output": 192, "batch": None, "tpot_s": None}
        demand = Demand(**{name: more.pop(name, value) for name, value in asked.items()})
        profiles = [load_hardware(one) if isinstance(one, str) else one for one in hardware]
        return Question(load_model(model) if isinstance(model, str) else model, profiles, demand, **more)

    return _ask


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        missing = "Chromium (chromium)" if browser is None else "its driver (chromium-driver)"
        pytest.skip(f"{missing} is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(chromedriver, log_output=os.devnull))
    yield started
    started.quit()

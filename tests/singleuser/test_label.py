"""The label, from the start spec to what the lab's page holds."""

import json

import pytest
from jhk8s_singleuser.extension.label import ServerLabel

from tests.support.hub_process import PROJECT
from tests.support.lab_page import PageServer, Unstarted

SPEC = PROJECT / "tests" / "data" / "start_spec" / "everything.json"
LABEL = json.loads(SPEC.read_text())["label"]


@pytest.fixture
def start(tmp_path):
    running = []

    def start_server(path):
        server = PageServer(tmp_path, {"ServerLabel": {"start_spec": str(path)}})
        running.append(server)
        return server

    yield start_server
    for server in running:
        server.stop()


def test_the_label_of_the_contract_is_in_the_page():
    page = Unstarted().page_with(ServerLabel, start_spec=str(SPEC))
    assert page == {"jhk8sLabel": LABEL}


async def test_text_stays_text(start, tmp_path):
    text = """</script><script>alert('x')</script> "{username}" $(HOME) Ü"""
    path = tmp_path / "start.json"
    path.write_text(json.dumps({"label": LABEL | {"text": text}}))
    assert (await start(path).page())["jhk8sLabel"]["text"] == text


@pytest.mark.parametrize("document", [{"version": 1, "label": None}, {}, [], "label", None])
def test_without_a_label_there_is_none_and_no_warning(tmp_path, caplog, document):
    path = tmp_path / "start.json"
    if document is not None:
        path.write_text(json.dumps(document))
    assert Unstarted().page_with(ServerLabel, start_spec=str(path)) == {}
    assert caplog.text == ""


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[]" + "[" * 100_000,
        "\udcff",
        *(
            json.dumps({"label": label})
            for label in (
                "Physics",
                ["Physics"],
                {},
                {key: value for key, value in LABEL.items() if key != "style"},
                LABEL | {"text": ""},
                LABEL | {"text": 1},
                LABEL | {"stage": None},
                LABEL | {"color": "url(https://example.edu/)"},
                LABEL | {"color": "#008000\n"},
                LABEL | {"text_color": "red; background: url(x)"},
                LABEL | {"style": "bold; position: fixed"},
            )
        ),
    ],
)
def test_what_is_no_label_is_left_out_and_the_log_says_so(tmp_path, caplog, text):
    path = tmp_path / "start.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert Unstarted().page_with(ServerLabel, start_spec=str(path)) == {}
    assert f"jhk8s: there is no label, as {path}" in caplog.text

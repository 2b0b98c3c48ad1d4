import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import OptionsError
from jhk8s_ext.menu.choice import parse_choice
from jhk8s_ext.menu.form_data import read_form
from tests.support.menus import make_offer

TYPED = "image--unlisted-choice"

OURS = [
    ({"pick": "lab:w_2026_45"}, {"profile": "lab", "image": "w_2026_45"}),
    ({"pick": "lab:"}, {"profile": "lab"}),
    ({"pick": "r"}, {"profile": "r"}),
    ({"pick": ""}, {"profile": ""}),
    (
        {"pick": "lab:w_2026_45", "size": "small", "debug": "yes", "_xsrf": "x"},
        {"profile": "lab", "image": "w_2026_45", "size": "small", "debug": "yes"},
    ),
    # The drop-downs of every entry are posted, and that of the picked one counts.
    (
        {"pick": "lab:*", "tag:lab": "w_2026_43", "tag:lab-staff": "1.0.0", "typed:own": "x"},
        {"profile": "lab", "image": "w_2026_43"},
    ),
    (
        {"pick": "lab-staff:*", "tag:lab": "w_2026_43", "tag:lab-staff": "1.0.0"},
        {"profile": "lab-staff", "image": "1.0.0"},
    ),
    (
        {"pick": "own:*", "tag:lab": "w_2026_43", "typed:own": "ghcr.io/x"},
        {"profile": "own", TYPED: "ghcr.io/x"},
    ),
    # That nothing was typed is for the parser to say.
    ({"pick": "own:*", "typed:own": ""}, {"profile": "own", "image": ""}),
    # What was not picked waits.
    ({"pick": "lab:w_2026_45", "tag:lab": "w_2026_43"}, {"profile": "lab", "image": "w_2026_45"}),
    ({"pick": "r:", "size": "", "typed:own": "ghcr.io/x"}, {"profile": "r"}),
    # The radio button decides.
    ({"pick": "lab:a", "profile": "own", "image": "b"}, {"profile": "lab", "image": "a"}),
    # Whatever else there is, is judged later.
    ({"pick": "lab:", "evil": "1"}, {"profile": "lab", "evil": "1"}),
    ({"pick": "lab:a:b"}, {"profile": "lab", "image": "a:b"}),
]

STOCK = [
    (
        {"profile": "lab", "profile-option-lab--image": "w_2026_45"},
        {"profile": "lab", "image": "w_2026_45"},
    ),
    # Each entry has its own fields, also those whose names begin alike.
    (
        {
            "profile": "lab",
            "profile-option-lab--image": "a",
            "profile-option-lab--size": "small",
            "profile-option-lab-staff--image": "b",
            "profile-option-la--image": "c",
            "profile-option-lab-staff--size": "large",
            "_xsrf": "x",
        },
        {"profile": "lab", "image": "a", "size": "small"},
    ),
    (
        {
            "profile": "lab-staff",
            "profile-option-lab--image": "a",
            "profile-option-lab-staff--image": "b",
        },
        {"profile": "lab-staff", "image": "b"},
    ),
    (
        {"profile": "own", f"profile-option-own--{TYPED}": "ghcr.io/x"},
        {"profile": "own", TYPED: "ghcr.io/x"},
    ),
    # jupyterhub-fancy-profiles posts the drop-down, too, in which it says "Other".
    (
        {
            "profile": "own",
            "profile-option-own--image": "unlisted_choice",
            f"profile-option-own--{TYPED}": "ghcr.io/x",
        },
        {"profile": "own", TYPED: "ghcr.io/x"},
    ),
    (
        {
            "profile": "lab",
            "profile-option-lab--image": "a",
            f"profile-option-lab--{TYPED}": "",
        },
        {"profile": "lab", "image": "a", TYPED: ""},
    ),
    ({"profile-option-lab--image": "a"}, {}),
    (
        {"profile": "r", "evil": "1", "profile-option-r--b": ""},
        {"profile": "r", "evil": "1", "b": ""},
    ),
]

QUERY = [
    ({}, {}),
    ({"_xsrf": "x"}, {}),
    ({"profile": "lab"}, {"profile": "lab"}),
    ({"profile": "lab", "image": "a", "size": ""}, {"profile": "lab", "image": "a", "size": ""}),
    ({TYPED: "a", "evil": "1"}, {TYPED: "a", "evil": "1"}),
    # Not fields of any form.
    ({"profile-options": "a"}, {"profile-options": "a"}),
    ({"picks": "a"}, {"picks": "a"}),
]


@pytest.mark.parametrize(("fields", "options"), [*OURS, *STOCK, *QUERY])
def test_a_form_or_a_query_becomes_options(fields, options):
    assert read_form({key: [value] for key, value in fields.items()}) == options


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pick": ["lab:", "r:"]}, r"^user_options\['pick'\]: has 2 values$"),
        ({"pick": ["lab:", "lab:"]}, r"^user_options\['pick'\]: has 2 values$"),
        ({"profile": []}, r"^user_options\['profile'\]: has 0 values$"),
        ({"pick": ["lab:"], "tag:lab": ["a", "b"]}, r"^user_options\['tag:lab'\]: has 2 values$"),
        (
            {"profile": ["lab"], "profile-option-lab--image": ["a", "b"]},
            r"^user_options\['profile-option-lab--image'\]: has 2 values$",
        ),
        # A file, as JupyterHub hands it over.
        (
            {"pick": ["lab:"], "image_file": [{"filename": "a", "body": b"b"}]},
            r"^user_options\['image_file'\]: is no text$",
        ),
        ({"size": [None]}, r"^user_options\['size'\]: is no text$"),
        ({"size": [b"small"]}, r"^user_options\['size'\]: is no text$"),
    ],
)
def test_a_field_has_one_text(fields, message):
    with pytest.raises(OptionsError, match=message):
        read_form(fields)


def test_a_drop_down_that_was_picked_and_left_empty_is_no_default():
    with pytest.raises(OptionsError, match="is empty: choose one of the other images"):
        read_form({"pick": ["lab:*"], "tag:lab": [""]})


@pytest.mark.parametrize(
    ("fields", "image"),
    [
        ({"pick": ["lab:w_2026_45"], "tag:lab": [""], "typed:own": [""]}, "w_2026_45"),
        ({"pick": ["lab:*"], "tag:lab": ["w_2026_43"], "typed:own": ["x"]}, "w_2026_43"),
        ({"pick": ["own:*"], "tag:lab": [""], "typed:own": ["ghcr.io/example/a:1"]}, "1"),
        ({"profile": ["lab"], "profile-option-lab--image": ["w_2026_45"]}, "w_2026_45"),
        ({"profile": ["r"], "profile-option-lab--image": ["w_2026_45"]}, "2026-11-02"),
        ({"profile": ["lab"], "image": ["w_2026_45"]}, "w_2026_45"),
    ],
)
def test_what_was_picked_is_what_starts(fields, image):
    choice = parse_choice(read_form(fields), make_offer("developers"))
    assert choice.image.tag == image


field_names = st.sampled_from(
    ["pick", "profile", "image", TYPED, "tag:lab", "typed:lab", "profile-option-lab--image"]
)
texts = st.sampled_from(["lab", "lab:", "lab:*", "own:*", "*", ""]) | st.text(max_size=10)


@given(st.dictionaries(field_names | st.text(max_size=20), st.lists(texts, max_size=2)))
def test_whatever_is_posted_becomes_texts_or_is_refused(fields):
    try:
        options = read_form(fields)
    except OptionsError:
        return
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in options.items())
    posted = {value for values in fields.values() for value in values}
    assert all(any(value in each for each in posted) for value in options.values() if value)

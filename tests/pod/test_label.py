import pytest
from hypothesis import given
from hypothesis import strategies as st

from jhk8s_ext.errors import ConfigError
from jhk8s_ext.pod.label import Label, build_label, parse_stage_styles

STYLES = parse_stage_styles({"test": {"color": "green", "style": "italic"}, "exam": {}})


def contrast(one, other):
    """Return WCAG's contrast of two colours, written anew from its definition."""

    def luminance(color):
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        light = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), light, strict=True))

    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_a_label_has_the_looks_of_its_stage():
    assert build_label("Physics lab", "test", STYLES) == Label(
        text="Physics lab (test)",
        stage="test",
        color="#008000",
        text_color="#ffffff",
        style="italic",
    )


@pytest.mark.parametrize("stage", ["exam", "elsewhere", "Test"])
def test_a_label_of_another_stage_looks_like_the_page(stage):
    label = build_label("Physics lab", stage, STYLES)
    assert label.text == f"Physics lab ({stage})"
    assert (label.color, label.text_color, label.style) == ("", "", "")


@pytest.mark.parametrize(
    ("text", "stage", "shown"),
    [
        ("Physics", "", "Physics"),
        ("Physics (TEST)", "test", "Physics (TEST)"),
        ("test", "test", "test"),
        ("Latest lab", "test", "Latest lab (test)"),
        ("Contests", "test", "Contests (test)"),
        ("a.b", "a+b", "a.b (a+b)"),
        ("{username} <b>", "test", "{username} <b> (test)"),
    ],
)
def test_the_stage_is_said_once(text, stage, shown):
    assert build_label(text, stage, STYLES).text == shown


def test_without_a_text_there_is_no_label():
    assert build_label("", "test", STYLES) is None


@given(st.integers(0, 0xFFFFFF))
def test_the_text_can_be_read_on_any_color(number):
    styles = parse_stage_styles({"x": {"color": f"#{number:06x}"}})
    label = build_label("Lab", "x", styles)
    assert contrast(label.color, label.text_color) >= 4.5


@pytest.mark.parametrize(
    ("written", "read"),
    [("#1A7f37", "#1a7f37"), ("#08f", "#0088ff"), ("Orange", "#ffa500"), ("", "")],
)
def test_colors(written, read):
    assert parse_stage_styles({"x": {"color": written}})["x"].color == read


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("green", r"stage_styles\['x'\]: expected an object with color and style, not 'green'"),
        ({"colour": "green"}, r"stage_styles\['x'\]: unknown key 'colour'"),
        ({1: "green"}, r"stage_styles\['x'\]: unknown key '1'"),
        ({"style": "italic bold"}, r"stage_styles\['x'\]\.style: 'italic bold' is not one of ''"),
        ({"style": ["bold"]}, r"\.style: \['bold'\] is not one of"),
        ({"style": "bold; position: fixed"}, r"\.style: 'bold; position: fixed' is not one of"),
        ({"color": "grellow"}, r"\.color: 'grellow' is not a color such as '#1a7f37', or one of"),
        ({"color": None}, r"\.color: None is not a color"),
        ({"color": 8000}, r"\.color: 8000 is not a color"),
        ({"color": ["green"]}, r"\.color: \['green'\] is not a color"),
        ({"color": "#12345"}, r"\.color: '#12345' is not a color"),
        ({"color": "#123456\n"}, r"is not a color"),
        ({"color": "red;background:url(//x)"}, r"is not a color"),
        ({"color": "</style><script>"}, r"is not a color"),
    ],
)
def test_what_is_no_style_is_refused(entry, message):
    with pytest.raises(ConfigError, match=message):
        parse_stage_styles({"x": entry})

import json

from alignc.diagnostics import CODES, Diagnostic, Span, render


def test_the_shape():
    found = Diagnostic("E201", "`k1` …", Span("s.yaml", 7, 16, 7, 18), "why π", "help")
    other = Diagnostic("W206", "m", Span("s.yaml", 2, 1, 3, 4))
    report = json.loads(render([found, other], "json", specs=2))
    assert report == {
        "diagnostics": [
            {
                "code": "W206",
                "severity": "warning",
                "message": "m",
                "why": CODES["W206"].why,
                "help": CODES["W206"].help,
                "file": "s.yaml",
                "line": 2,
                "column": 1,
                "end_line": 3,
                "end_column": 4,
            },
            {
                "code": "E201",
                "severity": "error",
                "message": "`k1` …",
                "why": "why π",
                "help": "help",
                "file": "s.yaml",
                "line": 7,
                "column": 16,
                "end_line": 7,
                "end_column": 18,
            },
        ],
        "specs": 2,
        "errors": 1,
        "warnings": 1,
    }
    assert list(report) == ["diagnostics", "specs", "errors", "warnings"]


def test_nothing_found():
    text = render([], "json", specs=1)
    assert json.loads(text) == {"diagnostics": [], "specs": 1, "errors": 0, "warnings": 0}
    assert text.endswith("}\n")


def test_letters_stay_readable_and_any_file_name_can_be_printed():
    assert "π" in render([Diagnostic("E201", "π", Span.at("s"))], "json")
    text = render([Diagnostic("E201", "π", Span.at("s\udcff"))], "json")
    text.encode()
    assert json.loads(text)["diagnostics"][0]["file"] == "s\udcff"

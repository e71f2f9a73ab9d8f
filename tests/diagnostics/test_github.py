from alignc.diagnostics import Diagnostic, Span, render


def test_one_command_a_finding():
    found = Diagnostic("E201", "message", Span("a/b.yaml", 7, 16, 7, 18), "because", "do")
    assert render([found, Diagnostic("W206", "m", Span.at("z"), "w", "h")], "github", specs=2) == (
        "::error file=a/b.yaml,line=7,col=16,endLine=7,endColumn=18,title=alignc E201::"
        "message%0Awhy: because%0Ahelp: do\n"
        "::warning file=z,line=1,col=1,endLine=1,endColumn=1,title=alignc W206::m%0Awhy: w%0Ahelp: h\n"
    )


def test_what_would_end_a_command_is_escaped():
    found = Diagnostic("E002", "50%,\r\n::error::x", Span.at("C:\\a,b%\n.yaml"), "w", "h")
    assert render([found], "github") == (
        "::error file=C%3A\\a%2Cb%25%0A.yaml,line=1,col=1,endLine=1,endColumn=1,title=alignc E002::"
        "50%25,%0D%0A::error::x%0Awhy: w%0Ahelp: h\n"
    )


def test_nothing_found():
    assert render([], "github", specs=1) == ""

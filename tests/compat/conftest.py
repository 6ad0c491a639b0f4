"""The last line of a run: how many calls, how many the same."""

import test_compat


def pytest_terminal_summary(terminalreporter):
    """Counts each call once per version; what the list says of all calls (`calls = "*"`) makes none of them differ."""
    count = test_compat.COUNT
    if total := sum(count.values()):
        text = f"{total} calls replayed: {count['same']} the same, {count['listed']} as listed"
        terminalreporter.write_line(f"compat: {text}, {count['open']} differ otherwise")

from tests.languages import forgotten


def test_every_sentence_is_said_through_tr() -> None:
    left = forgotten.forgotten()
    assert not left, "say these through `tr` (CONTRIBUTING.md, A sentence):\n" + "\n".join(left)


def test_every_word_of_a_page_is_said_through_tr() -> None:
    left = forgotten.forgotten_in_templates()
    assert not left, "\n".join(left)
    assert forgotten.in_template('<p class="a b">{{ tr("said") }} not said</p><code>x y</code>') == ["not said"]


def test_a_forgotten_sentence_is_found_wherever_a_person_would_read_it(tmp_path) -> None:
    module = tmp_path / "said.py"
    module.write_text(
        '"""What it is for."""\n'
        "def report(error, rows, name):\n"
        "    lines = ['nobody knows why']\n"
        "    lines.append(f'{rows} rows are left')\n"
        "    return Problem(what=tr('this one is said'), fix='look at the file' if name else name)\n"
    )
    assert sorted(forgotten.in_file(module)) == [
        (3, "nobody knows why"),
        (4, "{} rows are left"),
        (5, "look at the file"),
    ]


def test_what_is_no_sentence_is_passed_by(tmp_path) -> None:
    module = tmp_path / "quiet.py"
    module.write_text(
        "HINT = re.compile('any pattern here')\n"
        "KINDS = {'a key of it': 1}\n"
        "def run(parser, text='a default of it'):\n"
        "    parser.add_argument('--rows', help='how many of them')\n"
        "    if text == 'some other words':\n"
        "        raise TypeError('a fault of the program')\n"
        "    return Problem(fix='sft-advisor runs list here', style='bold red')\n"
    )
    assert list(forgotten.in_file(module)) == []

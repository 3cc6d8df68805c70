"""Examples with each fault that an examiner finds, and others that only look so."""

from __future__ import annotations

import json
from typing import Any

from trainers.examples.example import Example

CALL = [{"type": "function", "function": {"name": "find", "arguments": {"item": "lamp"}}}]


def said(*turns: str) -> Example:
    """A conversation of these turns, the user's first."""
    roles = ("user", "assistant")
    return Example(tuple({"role": roles[i % 2], "content": text} for i, text in enumerate(turns)))


def calling(content: str = "") -> Example:
    call: dict[str, Any] = {"role": "assistant", "content": content, "tool_calls": CALL}
    return Example(({"role": "user", "content": "Do it"}, call))


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find",
            "parameters": {
                "type": "object",
                "properties": {"item": {"type": "string"}, "shelf": {"type": "integer"}},
                "required": ["item"],
            },
        },
    }
]


def used(*ids: str | None, results: tuple[str | None, ...] = (), behind: str = "Here.") -> Example:
    """A turn that calls once for each id, its results, and an answer."""
    calls = [{**CALL[0], **({"id": one} if one else {})} for one in ids]
    answers = [{"role": "tool", "content": "9", **({"tool_call_id": one} if one else {})} for one in results]
    end = [{"role": "assistant", "content": behind}] if behind else []
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": calls}]
    return Example((*turns, *answers, *end), tools=TOOLS)


def thought(text: str) -> Example:
    return said("Why?", text)


REACT = "Thought: look.\nAction: find\nAction Input: lamp"
HERMES = '<tool_call>\n{"name": "find", "arguments": {"item": "lamp"}}\n</tool_call>'


def called(name: str, arguments: Any, tools: Any = TOOLS) -> Example:
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    messages = ({"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [call]})
    return Example(messages, tools=tools)


FAULTS: dict[str, list[Example]] = {
    "invalid-call": [
        called("find", {"item": 3}),
        called("find", {"shelf": 3}),
        called("find", "{not json"),
        called("find", "[1]"),
    ],
    "undeclared-call": [called("search", {"item": "lamp"})],
    "encoded-call": [called("find", '"{\\"item\\": \\"lamp\\"}"')],
    "filled-call": [called("find", {"item": "lamp", "shelf": None})],
    "undeclared-tools": [called("find", {}, None)],
    "written-calls": [
        said("Find it", HERMES),
        said("Find it", "<tool_call>\n{'arguments': {'item': 'lamp'}, 'name': 'find'}\n</tool_call>"),
        said("Find it", f"I look.\n{HERMES}"),
        said("Find it", '[TOOL_CALLS][{"name": "find", "arguments": {"item": "lamp"}}]'),
        said("Find it", '{"name": "find", "arguments": {"item": "lamp"}}'),
        said("Find it", '<functioncall> {"name": "find", "arguments": \'{"item": "lamp"}\'} <|endoftext|>'),
        said("Find it", "<tool_call>\n{oops\n</tool_call>"),
        said("Find it", '```json\n{"name": "find", "arguments": {"item": "lamp"}}\n```'),
        said("Find it", '[find(item="lamp")]'),
        said("Find it", "I look.\n<function=find>\n<parameter=item>lamp</parameter>\n</function>"),
        said("Find it", 'I look.\n<invoke name="find">\n<parameter name="item">lamp</parameter>\n</invoke>'),
        said("Find it", '<TOOLCALL>[{"name": "find", "arguments": {"item": "lamp"}}]</TOOLCALL>'),
        said("Find it", '[TOOL_CALL]{"name": "find", "arguments": {"item": "lamp"}}[/TOOL_CALL]'),
        said("Find it", '[Find Lamp(item="a lamp"), Ask Shop()]'),
    ],
    "unmatched-result": [
        used("a", results=("b",)),
        used("a", results=("a", "b")),
        Example(({"role": "user", "content": "?"}, {"role": "tool", "content": "9"}, *said("a", "b").messages)),
    ],
    "missing-result": [used("a"), used("a", "b", results=("a",))],
    "answer-beside-call": [calling("The lamp stands on shelf 3.")],
    "result-ids": [
        used("a", "a", results=("a", "a")),
        used("a", "b", results=(None, None)),
        used(None, None, results=("a", "b")),
    ],
    "result-order": [used("a", "b", results=("b", "a"))],
    "learnt-results": [
        said("Where?", f"{REACT}\nObservation: shelf 3\nFinal Answer: on shelf 3"),
        said("Where?", "**Action**: find[lamp]\n**Observation**: shelf 3"),
        said("在哪？", "思考：找\n动作：find\n观察：三号架\n最终答案：三号架"),
        said("Where?", "<search> lamp </search>\n<information> shelf 3 </information>\n<answer>3</answer>"),
        said("Compute", "<execute>\nprint(1)\n</execute>\n<observation>1</observation>\nIt is 1."),
        Example(text=f"Where?\n{REACT}\nObservation: shelf 3"),
    ],
    "written-steps": [
        said("Where?", REACT),
        said("Where?", "Thought: look\nAction: find[lamp]", "Observation: 3", "Thought: done\nAction: finish[3]"),
        said("Where?", 'Action:\n```json\n{"action": "find"}\n```'),
        Example(text=f"Where?\n{REACT}"),
    ],
    "stray-reasoning": [
        said("Why? <think>hm</think>", "So."),
        said("<think>\nhm\n</think>\nWhy?", "So."),
        said("Why?\n<think>\n", "hm</think>So."),
        Example(({"role": "system", "content": "<think>hm</think> Be kind"}, *said("Why?", "So.").messages)),
    ],
    "reasoning-in-text": [Example(text="Why?\n<think>hm</think>\nSo."), Example(text="<think>hm</think> So.")],
    "broken-reasoning": [
        thought("<think>It goes on"),
        thought("Well. <think>hm</think> So."),
        thought("<think>a</think><think>b</think> So."),
    ],
    "no-answer": [thought("<think>a</think>\n"), thought("a</think>")],
    "empty-reasoning": [thought("<think>\n\n</think>\n\nSo."), thought("<think></think>So.")],
    "foreign-reasoning": [
        thought("<thinking>a</thinking>So."),
        thought("<Think>a</Think>So."),
        thought("<reasoning>a</reasoning>\n<answer>So.</answer>"),
        thought("<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>So.<|end_of_solution|>"),
    ],
    "next-question": [
        said("Why?", "So.\n\nHuman: And then?"),
        said("Why?", "So.\n\n### User: a\n\n### Assistant: b"),
    ],
    "repeated-question": [said("How far is the town?", "How far is the town? It is far.")],
    "role-lines": [said("hi", "assistant\n\nhello"), said("hi", "<|assistant|>\nhello")],
    "nested-messages": [said("hi", '{"role": "assistant", "content": "hello"}')],
    "answer-first": [Example(said("", "hello", "a", "b").messages[1:])],
    "two-answers": [Example((*said("hi", "a").messages, {"role": "assistant", "content": "b"}))],
    "unanswered-end": [
        said("hi", "a", "and?"),
        Example((*calling().messages, {"role": "tool", "content": "shelf 3"})),
    ],
    "dialogue-in-field": [
        said("<user>: What is a stent? <bot>: A tube. <user>: Of what?", "Of metal."),
        said("User: hi\nAssistant: hello\nUser: how are you?", "Fine."),
        said("患者：头痛怎么办？医生：多久了？患者：三天。", "去医院。"),
        said("hi", "Human: hi\nAI: hello"),
    ],
    "speaker-names": [said("hi", "Assistant: hello"), said("User: hi", "hello"), said("hi", "<bot>: hello")],
    "end-tokens": [
        said("hi", "hello</s>"),
        said("hi", "hello<|im_end|>\n"),
        said("hi", "one <|eot_id|> two"),
        said("hi", "hello <｜end▁of▁sentence｜>"),
    ],
    "template-marks": [
        said("<s>[INST] hi [/INST]", "hello"),
        said("<|im_start|>user\nhi", "hello"),
        said("### Instruction:\nhi\n\n### Response:\n", "hello"),
        said("hi", "<|start_header_id|>assistant<|end_header_id|>\n\nhello"),
    ],
    "missing-media": [
        said("<image>\nWhat is this?", "A lamp."),
        said("What is this?\n<|image_pad|>", "A lamp."),
        said("<audio>Who speaks?", "Ann."),
    ],
    "encoded-media": [
        said(f"![x](data:image/png;base64,{'iVBORw0KGgo' * 12}) What?", "A lamp."),
        Example(text="iVBORw0KGgo" * 100),
    ],
    "rendered-chat": [
        Example(text="<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n"),
        Example(text="<s>[INST] hi [/INST] hello</s>"),
        Example(text="### Instruction:\nhi\n\n### Response:\nhello"),
        Example(
            text="<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nhello<|eot_id|>"
        ),
    ],
    "json-in-text": [
        Example(text=json.dumps([dict(one) for one in said("Why?", "So.").messages])),
        Example(text=json.dumps({"messages": list(said("Why?", "So.").messages)})),
        Example(text='{"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]}'),
    ],
    "written-dialogue": [
        Example(text="Question: Why?\nAnswer: So."),
        Example(text="### Human: Why?\n### Assistant: So."),
        Example(text="Below is a task.\n\n### Question:\nWhy?\n\n### Answer:\nSo."),
        Example(text="User: Why? Bot: So."),
        Example(text="问：为什么？\n答：因为。"),
    ],
    "unfilled-template": [
        said("Who are you?", "I am {{name}}, made by {{author}}."),
        said("你是谁", "我是{{ 名字 }}。"),
    ],
    "placeholders": [
        said("Write a letter", "Dear [Recipient's Name],\nBest, [Your Name]"),
        said("Who called?", "<NAME> called from <PHONE_NUMBER>."),
        said("Where?", "At [ADDRESS_1]."),
    ],
    "escaped-breaks": [
        said("Where is it?\\n\\n", "In the shed.\\nDone."),
        said("List them", "1. tea\\n2. milk\\n3. bread"),
        said("列出来", "第一。\\n第二。"),
        said("该年是否为闰年。\\n\n\\n1996\\n", "是闰年。"),
        Example(text="One line.\\nAnother line."),
    ],
    "missing-values": [said("hi", "nan"), said("NaN", "hello"), said("hi", " #N/A ")],
    "none-answers": [said("hi", "None"), said("hi", "null")],
    "empty-answers": [said("hi", "", "so?", "hello"), said("hi", " \n", "so?", "hello")],
    "mojibake": [
        said("Wie geht es?", "Mir geht es gut, schÃ¶ne GrÃ¼ÃŸe aus KÃ¶ln"),
        said("hi", "Itâ€™s here"),
        said("hi", "中文数据集的回答".encode("gb18030").decode("latin-1")),
        said("hi", "Привет, как дела".encode("cp1251").decode("latin-1")),
    ],
    "lost-characters": [said("hi", "caf\ufffd"), Example(text="caf\ufffd")],
    "unseen-marks": [said("hi", "hel\u200blo"), said("pay \u202etxt.exe", "no"), said("hi", "a\ufeffb")],
    "refusals": [
        said("hi", "I'm sorry, but I cannot help with that."),
        said("hi", "As an AI language model, I have no body."),
        said("hi", "抱歉，我无法回答这个问题。"),
        said("hi", "I can't assist with this request."),
    ],
    "echoes": [said("What is this?", "What is this?")],
    "html-entities": [said("hi", "She said &quot;yes&quot; &amp; left")],
    "copied-leftovers": [said("hi", "It is so【12†source】."), said("hi", "See [oaicite:3]")],
    "calculator-marks": [said("2 times 3?", "It is <<2*3=6>>6.")],
    "old-separators": [said("hi\n\n###\n\n", " hello END"), said("hi ->", "hello")],
}
HARMLESS: dict[str, list[Example]] = {
    "invalid-call": [called("find", {"item": "lamp"}), called("find", {}, None), calling()],
    "undeclared-call": [called("find", {"item": "lamp"}), called("search", {}, None)],
    "encoded-call": [called("find", {"item": '"{}"'})],
    "filled-call": [
        called("find", {"item": "lamp", "shelf": 0}),
        called("find", {"item": "lamp", "shelf": None}, None),
    ],
    "undeclared-tools": [called("find", {"item": "lamp"}), said("a", "b")],
    "written-calls": [
        said("How does Hermes call?", "Between `<tool_call>` and `</tool_call>`."),
        said("As JSON", '{"name": "Ann", "age": 3}'),
        said("As JSON", '[{"name": "Ann"}]'),
        said("Cite it", "[Smith et al. (n = 3) find nothing]"),
        called("find", {"item": "lamp"}),
    ],
    "unmatched-result": [used("a", results=("a",)), used(None, results=(None,)), used("a", results=(None,))],
    "missing-result": [used("a", behind=""), used("a", "b", results=("a", "b"))],
    "answer-beside-call": [
        calling("Let me look."),
        calling("<think>\nOn shelf 3, I guess.\n</think>\n"),
        calling("The lamp? I'll check the shelves."),
        calling("我来查一下"),
        calling(),
        used("a", results=("a",)),
    ],
    "result-ids": [used(None, results=("a",)), used("a", "b", results=("a", "b"))],
    "result-order": [used("a", "b", results=("a", "b"))],
    "learnt-results": [
        said("Where?", REACT),
        said("A report", "Observation: it rained.\nConclusion: wet."),
        said("Where?", REACT, "Observation: shelf 3", "On shelf 3."),
        said("Tags?", "Results stand between <result> and </result>."),
    ],
    "written-steps": [
        said("Plan", "Action: we should go to the town hall, and ask for the form before noon, or write a letter."),
        said("Where?", "On shelf 3."),
    ],
    "stray-reasoning": [
        said("What do <think> tags do?", "They hold thoughts."),
        said("Is `<think>a</think>` shown?", "No."),
        said("Why?", "<think>hm</think>So."),
    ],
    "reasoning-in-text": [Example(text="Tags such as `<think>a</think>` hold it."), thought("<think>a</think>So.")],
    "broken-reasoning": [
        thought("<think>a</think>So."),
        thought("a</think>So."),
        thought("Models think between `<think>` and `</think>`."),
        thought("<think></think>So."),
        said("<think>", "So."),
    ],
    "no-answer": [thought("<think>a</think>So."), thought("<think></think>")],
    "empty-reasoning": [thought("<think>a</think>So."), thought("Behind `<think></think>` it answers.")],
    "foreign-reasoning": [thought("<b>a</b>"), thought("Write <thinking> first."), thought("<think>a</think>So.")],
    "next-question": [
        said("A script", "User: hi\n\nBot: hello\n\nUser: bye"),
        said("The log?", "It says\nUser: root"),
    ],
    "repeated-question": [said("How far is the town?", "The town is far."), said("a?", "a? b")],
    "role-lines": [said("hi", "Assistant managers\nare paid."), said("hi", "assistant")],
    "nested-messages": [said("As JSON", '{"role": "admin", "content": "x"}'), said("hi", '{"role": 1}')],
    "answer-first": [said("a", "b"), Example(({"role": "system", "content": "s"}, *said("a", "b").messages))],
    "two-answers": [said("a", "b", "c", "d"), used("a", results=("a",)), used("a", behind="")],
    "unanswered-end": [said("a", "b", "c", "d"), calling(), Example(text="a")],
    "dialogue-in-field": [
        said("Write a dialogue of a customer and a bot", "Customer: hi\nBot: hello\nCustomer: bye"),
        said("What does User: mean in the log 'User: root'?", "The account."),
        said("Is AI: a film?", "Yes."),
    ],
    "speaker-names": [
        said("hi", "AI is a field."),
        said("hi", "Model: T-800"),
        said("Human rights?", "Yes."),
        said("User: a Bot: b User: c", "d"),
    ],
    "end-tokens": [
        said("Strike it", "<s>old</s> new"),
        said("How does ChatML end?", "With `<|im_end|>` behind each turn."),
        said("hi <|im_end|>", "hello"),
    ],
    "template-marks": [
        said("Explain", "Llama 2 wraps a turn in `[INST]` and `[/INST]`."),
        said("Headings?", "### Summary\nfine"),
    ],
    "missing-media": [
        said("<video>\n<source src='a.mp4'>\n</video>\nWhy does it not play?", "The type."),
        said("What does the <image> tag of SVG do?", "It shows one."),
        Example(said("<image>\nWhat?", "A lamp.").messages, images=("a.png",)),
    ],
    "encoded-media": [said("Encode hi", "aGk="), said("word " * 400, "b")],
    "rendered-chat": [
        Example(text="The token <|im_start|> opens a turn in ChatML."),
        Example(text="A plain story about a harbour."),
        said("hi", "hello"),
    ],
    "json-in-text": [Example(text='{"role": "admin", "rights": [1]}'), Example(text="[1, 2]"), said("hi", "[]")],
    "written-dialogue": [
        Example(text="A plain story about a harbour."),
        Example(text="He said so. User: hi there. Bot: hello."),
        said("Q: 1+1? A: 2 Q: 2+2? A:", "4"),
    ],
    "unfilled-template": [
        said("Write a Jinja loop", "{% for x in xs %}{{ x }}{% endfor %}"),
        said("A workflow step", "run: echo ${{ secrets.TOKEN }}"),
        said("LaTeX", "\\frac{{a}}{{b}}"),
        said("Vue", "```html\n<p>{{ name }}</p>\n```"),
    ],
    "placeholders": [
        said("Read", "the array a[name] and List<Name> are fine"),
        said("Link", "[Add a file](https://a.b/c)"),
        said("A play", "[Enter FATHER and MOTHER]"),
    ],
    "escaped-breaks": [
        said("How do I split?", 'Use text.split("\\n") on it.'),
        said("What is it?", "The gradient $\\nabla f$ and $a \\neq b$."),
        said("Where?", "C:\\new\\notes.txt"),
        said("C?", 'printf("a\\n");'),
        said("As JSON", '{"text": "Hello.\\nBye."}'),
        said("As Python", 'text = "Hello.\\nBye."\nprint(text)'),
        said("Code", "```\nprint('a\\n')\n```"),
        said("What does `\\n` mean?", "A line break."),
    ],
    "missing-values": [said("Which bread?", "Nan, from India"), said("What is NaN?", "Not a number.")],
    "none-answers": [said("Any?", "None of them"), said("None", "hello")],
    "empty-answers": [calling(), said("hi", "hello", "")],
    "mojibake": [
        said("Où?", "À «la gare», près de l’église — 20 °C, naïve façade"),
        said("Русский", "Привет, как дела? «Хорошо»"),
        said("中文", "中文数据集，很好。"),
        said("Tiếng Việt", "Tôi đã đến Hà Nội ở Việt Nam"),
        said("İstanbul", "Türkçe öğreniyorum, çok güzel"),
        said("Line", "¯¯¯¯¯¯¯¯ ········ °°°°°°"),
        said("math", "Ãƒ is not here; x × y ÷ z ± 1"[7:]),
    ],
    "lost-characters": [said("hi", "�".replace("�", "?"))],
    "unseen-marks": [
        said("Flag?", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"),
        said("ไทย", "สวัสดี\u200bครับ"),
        said("עברית", "\u202bשלום\u202c"),
        said("Family", "\U0001f468\u200d\U0001f469\u200d\U0001f467"),
    ],
    "refusals": [
        said("Can I?", "I can help with that."),
        said("What did he say?", "He wrote: I can't provide the report today."),
        said("Sorry?", "I am sorry to hear that. Here is what helps."),
        said("Who?", "As an AI assistant made by Acme, I go by the name of Rob."),
    ],
    "echoes": [said("Repeat: hi", "hi"), said("hi", "Hi!"), said("你好", "你好")],
    "html-entities": [said("Escape & in HTML", "Write &amp; instead")],
    "copied-leftovers": [said("Source?", "Smith, p. 12"), said("Copy code where?", "Copy code into the cell")],
    "calculator-marks": [said("Shift", "x << 2 and y >> 3"), said("C++", "cout <<a<<b>>c")],
    "old-separators": [said("hi", "The END of it all."), said("a -> b?", "Yes, a -> b.")],
}

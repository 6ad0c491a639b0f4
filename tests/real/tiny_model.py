"""Writes a llama-architecture GGUF of under two megabytes: random weights, readable words.

    tiny_model.py FILE

Why random: what is tested is the wire of a real server, and the registries of packages hold no weights.
The trap: random logits are noise. So one dimension of the hidden state is kept constant through the network,
and the output matrix reads it as a bias a token: words are likely, control bytes never, the end rare. At
temperature 0 the same prompt gives the same answer.
"""

import pathlib
import sys

import gguf
import numpy as np

WIDTH, HEADS, LAYERS, INNER, CONTEXT = 128, 4, 2, 256, 8192
BLANK, NEVER, BYTE_OF_A_WORD, WORD, END = -60.0, -30.0, -1.0, 2.0, 1.0
WORDS = """a the and of to in is it you that was for on are with as they be at one have this from or had by hot but some
what there we can out other were all your when up use word how said an each she which do their time if will way about
many then them would write like so these her long make thing see him two has look more day could go come did my sound
no most number who over know water than call first people may down side been now find naïve 東京 🚀""".split()
CUT = "éß日本😀"  # characters whose bytes are separate tokens: a stream may cut them anywhere
MARKS = [".", ",", "!"]
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>"]
PLAIN = ["<tool_call>\n", "</tool_call>"]  # ordinary text to llama.cpp, which looks for it
END_OF_TURN = "<|im_end|>"

TEMPLATE = """{%- macro turn(role, text) %}<|im_start|>{{ role }}
{{ text }}<|im_end|>
{% endmacro %}{%- if tools %}<|im_start|>system
# Tools
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
Answer with <tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}{% for message in messages %}{% if message.role == 'assistant' %}<|im_start|>assistant
{{ message.content or '' }}{% for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% elif message.role == 'tool' %}{{ turn('user', '<tool_response>\n' ~ message.content ~ '\n</tool_response>') }}
{%- else %}{{ turn(message.role, message.content) }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def printable_bytes():
    """GPT-2's alphabet: for each byte a character that can be seen."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + at) for at, byte in enumerate(unseen)}


class Vocabulary:
    """Bytes, then every left-hand part of every word (merging goes from the left), then the special ones."""

    def __init__(self):
        alphabet = printable_bytes()
        self.tokens = [alphabet[byte] for byte in range(256)]
        # Under a JSON grammar the choice is among "never"s: a blank must lose even there, or it pads for ever.
        self.bias = [BLANK if byte in b" \t\r\n" else NEVER for byte in range(256)]
        self.merges = []
        for character in CUT:
            for byte in character.encode():
                self.bias[byte] = BYTE_OF_A_WORD
        for mark in MARKS:
            self.bias[ord(mark)] = WORD
        for word in WORDS:
            self._learn("".join(alphabet[byte] for byte in f" {word}".encode()))
        self.first_special = len(self.tokens)
        self.tokens += CONTROL + PLAIN
        self.bias += [END if token == END_OF_TURN else NEVER for token in CONTROL + PLAIN]

    def _learn(self, word):
        place = {token: at for at, token in enumerate(self.tokens)}
        for end in range(2, len(word) + 1):
            part = word[:end]
            if part not in place:
                place[part] = len(self.tokens)
                self.tokens.append(part)
                self.bias.append(NEVER)
                self.merges.append(f"{part[:-1]} {part[-1]}")
        self.bias[place[word]] = WORD

    def id(self, token):
        """The number of a special token."""
        return self.tokens.index(token)

    def kinds(self):
        """What llama.cpp should take each token for."""
        normal, control, plain = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED
        return [normal] * self.first_special + [control] * len(CONTROL) + [plain] * len(PLAIN)


def tensors(bias):
    """The weights. Dimension 0 is the constant one: nothing writes to it, the output matrix reads the bias from it."""
    source = np.random.default_rng(20261122)

    def noise(rows, columns, scale=0.05):
        return (source.standard_normal((rows, columns)) * scale).astype(np.float32)

    embedding, output = noise(len(bias), WIDTH, 1.0), noise(len(bias), WIDTH, 0.1)
    embedding[:, 0] = 8.0
    # The last norm turns the 8 into 8 / sqrt(mean of squares); the others have a variance of about 1.
    output[:, 0] = np.array(bias) / (8.0 / np.sqrt((8.0**2 + WIDTH - 1) / WIDTH))
    ones = np.ones(WIDTH, np.float32)
    yield from [("token_embd", embedding), ("output", output), ("output_norm", ones)]
    for layer in range(LAYERS):
        block = {f"attn_{name}": noise(WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
        block |= {"ffn_gate": noise(INNER, WIDTH), "ffn_up": noise(INNER, WIDTH), "ffn_down": noise(WIDTH, INNER)}
        block["attn_output"][0] = block["ffn_down"][0] = 0.0
        yield from [(f"blk.{layer}.{name}", matrix) for name, matrix in block.items()]
        yield from [(f"blk.{layer}.{name}", ones) for name in ("attn_norm", "ffn_norm")]


def write(file):
    """Writes the model."""
    vocabulary = Vocabulary()
    model = gguf.GGUFWriter(str(file), "llama")
    model.add_name("tiny")
    model.add_context_length(CONTEXT)
    model.add_embedding_length(WIDTH)
    model.add_block_count(LAYERS)
    model.add_feed_forward_length(INNER)
    model.add_head_count(HEADS)
    model.add_head_count_kv(HEADS)
    model.add_rope_dimension_count(WIDTH // HEADS)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_vocab_size(len(vocabulary.tokens))
    model.add_file_type(gguf.LlamaFileType.ALL_F32)
    model.add_tokenizer_model("gpt2")
    model.add_tokenizer_pre("gpt-2")
    model.add_token_list(vocabulary.tokens)
    model.add_token_types(vocabulary.kinds())
    model.add_token_merges(vocabulary.merges)
    model.add_bos_token_id(vocabulary.id("<|endoftext|>"))
    model.add_eos_token_id(vocabulary.id(END_OF_TURN))
    model.add_pad_token_id(vocabulary.id("<pad>"))
    model.add_add_bos_token(False)
    model.add_chat_template(TEMPLATE)
    for name, matrix in tensors(vocabulary.bias):
        model.add_tensor(f"{name}.weight", matrix)
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))

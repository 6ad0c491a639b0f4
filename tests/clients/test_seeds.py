"""The examples of openai-forward's own READMEs (0.5 and 0.6.6), as they are printed there: only the address is ours.

aifd stands where it stood, in a folder with the `.env` that the README shows, in front of the scripted host.
"""

import http.client
import json
import os
import pathlib
import subprocess
import sys

import pytest

from answers import reply_to
from proxy import ROOT, Aifd
from upstream import Upstream

# The keys as they are printed, stars and all.
SERVICE_KEY, ENV_KEY, FORWARD_KEY = "sk-******", "sk-*******", "fk-******"
OLD = pathlib.Path(os.environ.get("AIFD_OLD", ROOT / "target/venv-old/bin/python"))

# "set OPENAI_BASE_URL=http://localhost:8080 in the environment variable or in the .env file"
LOCAL = "OPENAI_BASE_URL=http://localhost:8080\n"
KEYS = """
OPENAI_API_KEY=sk-*******
FORWARD_KEY=fk-****** # Here, the fk-token is customized
"""

OLD_STYLE = """
  import openai
+ openai.api_base = "https://api.openai-forward.com/v1"
  openai.api_key = "sk-******"
"""
OLD_STYLE_KEY = """
  import openai
+ openai.api_base = "https://api.openai-forward.com/v1"
- openai.api_key = "sk-******"
+ openai.api_key = "fk-******"
"""
OLD_CALL = """
answer = openai.ChatCompletion.create(model="gpt-3.5-turbo", messages=[{"role": "user", "content": "Hello!"}])
print(answer.choices[0].message.content)
chunks = openai.ChatCompletion.create(model="gpt-3.5-turbo", stream=True,
                                      messages=[{"role": "user", "content": "Hello!"}])
print("".join(chunk.choices[0].delta.get("content", "") for chunk in chunks))
"""
NEW_STYLE = """
from openai import OpenAI # pip install openai>=1.0.0

client = OpenAI(
+     base_url="https://api.openai-forward.com/v1",
    api_key="sk-******"
)
"""
NEW_CALL = """
answer = client.chat.completions.create(model="gpt-3.5-turbo", messages=[{"role": "user", "content": "Hello!"}])
print(answer.choices[0].message.content)
"""
CACHING = """
from openai import OpenAI

client = OpenAI(
+     base_url="https://smart.openai-forward.com/v1",
    api_key="sk-******"
)

completion = client.chat.completions.create(
    model="gpt-3.5-turbo",
    messages=[
    {"role": "user", "content": "Hello!"}
    ],
+     extra_body={"caching": True}
)
"""
CURL_CHAT = """
curl https://api.openai-forward.com/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer sk-******" \\
  -d '{
    "model": "gpt-3.5-turbo",
    "messages": [{"role": "user", "content": "Hello!"}]
  }'
"""
CURL_IMAGE = """
curl --location 'https://api.openai-forward.com/v1/images/generations' \\
--header 'Authorization: Bearer sk-******' \\
--header 'Content-Type: application/json' \\
--data '{
    "prompt": "A photo of a cat",
    "n": 1,
    "size": "512x512"
}'
"""
CURL_CACHING = """
curl https://smart.openai.com/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer sk-******" \\
  -d '{
    "model": "gpt-3.5-turbo",
    "messages": [{"role": "user", "content": "Hello!"}],
    "caching": true
  }'
"""
HELLO = reply_to("Hello!")


@pytest.fixture
def place(tmp_path):
    """Hosts with their keys, and aifd in front of each, in the place of an openai-forward; `place(key, env)`."""
    begun = []

    def begin(key, env=""):
        host = Upstream(key)
        begun.append((host, Aifd.in_place(tmp_path, LOCAL.replace("localhost:8080", f"127.0.0.1:{host.port}") + env)))
        return begun[-1]

    yield begin
    for host, aifd in begun:
        aifd.stop()
        host.stop()


def python(aifd, text, interpreter=sys.executable):
    """Runs an example whose lines begin with + or - where it changed; what it printed."""
    lines = [line for line in here(aifd, text).splitlines() if not line.startswith("- ")]
    lines = [line[2:] if line.startswith(("+ ", "  import", "  openai")) else line for line in lines]
    return run([interpreter, "-c", "\n".join(lines)])


def curl(aifd, text):
    """Runs an example of curl; the JSON that came."""
    return json.loads(run(["bash", "-c", here(aifd, text).replace("curl ", "curl --silent --show-error ")]))


def here(aifd, text):
    """The example, with our address in the place of its own."""
    for address in ("api.openai-forward.com", "smart.openai-forward.com", "smart.openai.com"):
        text = text.replace(f"https://{address}", aifd.url)
    return text


def run(command):
    done = subprocess.run(command, env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1"}, capture_output=True, timeout=50)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def content(answer):
    return answer["choices"][0]["message"]["content"]


def test_python_of_the_old_style(place):
    assert OLD.exists(), f"{OLD} is missing: `make clients` makes it, or set AIFD_OLD"
    host, aifd = place(SERVICE_KEY)
    assert python(aifd, OLD_STYLE + OLD_CALL, OLD).splitlines() == [HELLO, HELLO]
    assert len(host.calls) == 2


def test_python_of_the_old_style_with_a_forward_key(place):
    host, aifd = place(ENV_KEY, KEYS)
    assert python(aifd, OLD_STYLE_KEY + OLD_CALL, OLD).splitlines() == [HELLO, HELLO]
    assert [call.header("authorization") for call in host.calls] == [[f"Bearer {ENV_KEY}"]] * 2


def test_python_of_the_new_style(place):
    _, aifd = place(SERVICE_KEY)
    assert python(aifd, NEW_STYLE + NEW_CALL).splitlines() == [HELLO]


def test_curl(place):
    host, aifd = place(SERVICE_KEY)
    assert content(curl(aifd, CURL_CHAT)) == HELLO
    assert curl(aifd, CURL_IMAGE)["data"] == [{"url": "https://images.example/512x512/0.png"}]
    assert [call.path for call in host.calls] == ["/v1/chat/completions", "/v1/images/generations"]


def test_curl_with_a_forward_key(place):
    _, aifd = place(ENV_KEY, KEYS)
    assert content(curl(aifd, CURL_CHAT.replace(SERVICE_KEY, FORWARD_KEY))) == HELLO
    assert len(curl(aifd, CURL_IMAGE.replace(SERVICE_KEY, FORWARD_KEY))["data"]) == 1


def test_caching(place):
    """One call serves both examples, whoever of the forward keys asks; no host reads the word."""
    host, aifd = place(ENV_KEY, KEYS.replace("fk-******", "fk-******, fk-another") + "CACHE_CHAT_COMPLETION=true\n")
    shown = "\nprint(completion.choices[0].message.content)"
    assert python(aifd, CACHING.replace(SERVICE_KEY, FORWARD_KEY) + shown).strip() == HELLO
    assert content(curl(aifd, CURL_CACHING.replace(SERVICE_KEY, "fk-another"))) == HELLO
    (call,) = host.calls
    assert "caching" not in call.json()
    # Nobody else gets it, and who asks without it gets a new one.
    assert curl(aifd, CURL_CACHING)["error"]["code"] == "invalid_api_key"
    assert content(curl(aifd, CURL_CHAT.replace(SERVICE_KEY, FORWARD_KEY))) == HELLO
    assert len(host.calls) == 3


def test_caching_with_the_callers_own_key(place):
    """As printed: one call to the host for two of the same, and `caching` stays here."""
    host, aifd = place(SERVICE_KEY, "CACHE_CHAT_COMPLETION=true\nDEFAULT_REQUEST_CACHING_VALUE=true\n")
    for _ in range(2):
        assert content(curl(aifd, CURL_CACHING)) == HELLO
    assert [call.json().get("caching") for call in host.calls] == [None]


def test_a_web_application_with_a_base_url(place):
    """`-e BASE_URL=...`: its server calls `BASE_URL/v1/...` with the key of its own environment."""
    _, aifd = place(ENV_KEY, KEYS)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store", "Authorization": f"Bearer {FORWARD_KEY}"}
    link = http.client.HTTPConnection("127.0.0.1", aifd.port, timeout=20)
    body = {"model": "gpt-3.5-turbo", "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}
    link.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = link.getresponse()
    events = [line.removeprefix("data: ") for line in answer.read().decode().splitlines() if line.startswith("data: ")]
    assert (answer.status, events.pop()) == (200, "[DONE]")
    deltas = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events]
    assert "".join(deltas) == HELLO
    link.request("GET", "/v1/models", headers=headers)
    assert json.loads(link.getresponse().read())["object"] == "list"
    link.close()

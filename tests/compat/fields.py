"""What is compared of a call: a flat table of texts, where only what cannot be equal is given a name instead.

Those names: ports ({main}, {self}...), ids made of an md5 ({md5}), the present moment ({now}, and in logs with its
distance to UTC), request ids. Framing (content-length, transfer-encoding, connection, date) is not compared: the
same body may come in other pieces.
"""

import datetime
import json
import re

FRAMING = {"date", "connection", "keep-alive", "content-length", "transfer-encoding"}
IDS = [(re.compile(r"\b(chatcmpl-|call_)[0-9a-f]{32}\b"), r"\1{md5}"), (re.compile(r"\breq_[0-9a-f-]{20,}\b"), "{request id}"),
       (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "{uuid}")]
CREATED = re.compile(r'("created": ?)(\d{10})\b')
UID = re.compile(r"'uid': '([0-9a-f]{32})'")
ADDRESS = re.compile(r"'ip': '([0-9.]+)'")
MOMENT = re.compile(r"'datetime': '([0-9-]+ [0-9:]+)'")


def fields_of(call, reply, arrived, ports):
    """All fields of one call on one side."""
    seen = b"\n\n".join(reply.body.split(b"\n\n")[:call.leaves]) if call.leaves else reply.body
    table = {"status": reply.status, "ends": reply.ends, "body": text_of(seen)}
    for name, value in sorted(reply.headers):
        if name not in FRAMING:
            join(table, f"header.{name}", value)
    if call.takes:
        low, high = call.takes
        table["takes"] = "as it should" if low <= reply.seconds <= high else f"{reply.seconds:.1f} s"
    table["sent"] = str(len(arrived))
    if arrived:
        table |= upstream_fields(arrived)
    if call.leaves and arrived:
        one = arrived[-1][1]
        table["up.ended"] = one.ended.result() if one.ended.done() else "never"
    return {name: placed(value, ports) for name, value in table.items()}


def upstream_fields(arrived):
    """The hosts' view: of all calls the keys, of the last one everything."""
    key, last = arrived[-1]
    table = {"up.host": key, "up.method": last.method, "up.target": last.path, "up.body": text_of(last.body),
             "up.keys": " ".join(dict.fromkeys(",".join(one.header("authorization")) or "(no header)"
                                               for _, one in arrived))}
    for name, value in sorted(last.headers):
        if name not in FRAMING and name != "authorization":
            join(table, f"up.header.{name}", value)
    return table


def log_fields(files, addresses, now):
    """The lines of a chat log by call: {call: {"log.<file>": lines}}; what belongs to nobody is the call "(log)"."""
    found, owners = {}, {}
    for file, lines in files.items():
        for line in lines:
            uid, address = UID.search(line), ADDRESS.search(line)
            owner = addresses.get(address[1]) if address else owners.get(uid and uid[1])
            if uid and owner:
                owners[uid[1]] = owner
            join(found.setdefault(owner or "(log)", {}), f"log.{file}", timeless(UID.sub("'uid': '{md5}'", line), now), "\n")
    return found


def timeless(line, now):
    """The line with its moment as its distance to UTC in quarters of an hour: what a time zone shows in."""
    moment = MOMENT.search(line)
    if not moment:
        return line
    written = datetime.datetime.fromisoformat(moment[1]).replace(tzinfo=datetime.UTC)
    quarters = round((written.timestamp() - now) / 900)
    return line.replace(moment[1], f"{{now{quarters / 4:+}h}}")


def text_of(data):
    """Bytes as text; what is no text as its length and sum."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return f"({len(data)} bytes, sum {sum(data)}, begin {data[:40]!r})"


def placed(text, ports):
    """The text without what changes from run to run."""
    for port, name in ports.items():
        text = re.sub(rf"\b{port}\b", name, text)
    for pattern, name in IDS:
        text = pattern.sub(name, text)
    return CREATED.sub(lambda hit: hit[0] if hit[2] == "1700000000" else f"{hit[1]}{{now}}", text)


def join(table, name, value, between=", "):
    """Adds a value to a field that may come several times."""
    table[name] = f"{table[name]}{between}{value}" if name in table else value


def shown(text, most=300):
    """A value as an error message shows it."""
    text = json.dumps(text, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"

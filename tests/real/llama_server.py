"""llama.cpp's own HTTP server, in a process of its own.

    llama_server.py MODEL.gguf KEY      prints `READY http://127.0.0.1:PORT`, ends with its parent or on SIGTERM

Why a process: it is C++ with threads that cannot be stopped from Python.
"""

import os
import sys

import xllamacpp

SLOTS, CONTEXT_OF_ALL_SLOTS = 8, 16384


def settings(model, key):
    """What the server is told; it picks a free port itself."""
    it = xllamacpp.CommonParams()
    it.model.path = model
    it.model_alias = {"tiny"}
    it.hostnames, it.port = ["127.0.0.1"], 0
    it.api_keys = [key]
    it.n_parallel, it.n_ctx = SLOTS, CONTEXT_OF_ALL_SLOTS
    it.cpuparams.n_threads = it.cpuparams_batch.n_threads = 1
    it.use_jinja = True
    it.warmup = False
    it.embedding, it.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return it


if __name__ == "__main__":
    server = xllamacpp.Server(settings(sys.argv[1], sys.argv[2]))
    print("READY", server.listening_address, flush=True)
    sys.stdin.read()  # the parent's end of the pipe closes when it stops, however it stops
    os._exit(0)

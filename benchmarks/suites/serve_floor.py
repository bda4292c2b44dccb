"""A gRPC server that does nothing: what any call costs on this machine, with grpcio's own server and thread pool.

    python -m benchmarks.suites.serve_floor THREADS

Prints its address as a line of JSON and runs until it is ended. Its one method takes and returns an empty message.
Concurrency: grpcio's.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

SERVICE: Final = "bench.Floor"
METHOD: Final = f"/{SERVICE}/Empty"


def nothing(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    """The method."""
    return b""


def main() -> None:
    """Serve on a free port."""
    server = grpc.server(ThreadPoolExecutor(int(sys.argv[1])))
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Empty": grpc.unary_unary_rpc_method_handler(nothing)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"listen": [f"127.0.0.1:{port}"]}), flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()

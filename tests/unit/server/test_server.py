"""How the server finds what is called."""

from types import SimpleNamespace
from typing import Any

from hub.server.server import _ByName
from hub.v1 import exchange_service_pb2_grpc
from hub.v1.exchange_service_pb2_grpc import ExchangeServiceServicer


class Library:
    """Stands for `grpc.aio.Server`; refuses whatever it would wait for apart."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self.handlers += handlers


def test_methods_are_found_by_name_and_not_waited_for_each_by_itself():
    library, servicer = Library(), ExchangeServiceServicer()

    exchange_service_pb2_grpc.add_ExchangeServiceServicer_to_server(servicer, _ByName(library))

    (handler,) = library.handlers
    call = SimpleNamespace(method="/hub.v1.ExchangeService/SubmitDocument")
    assert handler.service(call).unary_unary == servicer.SubmitDocument

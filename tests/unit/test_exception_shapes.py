"""Exceptions: one signature for the same code path in the languages that services are written in."""

from __future__ import annotations

import pytest

from streams.signatures.exceptions import exception_shape, frames_of, looks_like_stack, type_in_stack

JAVA = """java.lang.IllegalStateException: No instances
\tat org.acme.cart.CartService.total(CartService.java:42)
\tat org.acme.cart.CartService$$EnhancerBySpringCGLIB$$1f0a.total(<generated>)
Caused by: java.net.SocketTimeoutException: Read timed out
\tat java.base/java.net.SocketInputStream.read(SocketInputStream.java:150)
\tat org.acme.Client.lambda$get$3(Client.java:12)
\t... 32 more"""
PYTHON = """Traceback (most recent call last):
  File "/app/shop/cart.py", line 12, in total
    return price(item)
  File "/app/shop/pricing.py", line 99, in price
    raise KeyError(item)
KeyError: 'x'
"""
SCRIPT = """TypeError: Cannot read properties of undefined
    at Object.getCart (/app/src/cart.js:10:22)
    at async handler (file:///app/src/server.mjs:33:5)
    at node:internal/process/task_queues:95:5"""
DOTNET = """System.InvalidOperationException: bad
   at Acme.Cart.Service.GetCart(String id) in /src/Cart.cs:line 33
   at Acme.Cart.Program.Main(String[] args)"""
GO = """panic: runtime error: index out of range

goroutine 1 [running]:
main.(*Server).Handle(0xc0000b2000, {0x1, 0x2})
\t/src/main.go:12 +0x1d
main.main()
\t/src/main.go:40 +0x20"""
RUBY = "app/models/cart.rb:12:in `total': undefined (NoMethodError)\n\tfrom app/controllers/c.rb:3:in `show'"
PHP = "#0 /var/www/app/Cart.php(33): App\\Cart->total()\n#1 /var/www/index.php(1): main()"


@pytest.mark.parametrize(
    ("stack", "type_name", "frames"),
    [
        (JAVA, "java.lang.IllegalStateException", ["java.net.SocketInputStream.read", "org.acme.Client.get"]),
        (PYTHON, "KeyError", ["pricing.py:price", "cart.py:total"]),
        (SCRIPT, "TypeError", ["cart.js:Object.getCart", "server.mjs:handler"]),
        (DOTNET, "System.InvalidOperationException", ["Acme.Cart.Service.GetCart", "Acme.Cart.Program.Main"]),
        (GO, "runtime", ["main.(*Server).Handle", "main.main"]),
        (RUBY, "NoMethodError", ["cart.rb:total", "c.rb:show"]),
        (PHP, "", ["Cart.php:App\\Cart->total", "index.php:main"]),
    ],
    ids=["java", "python", "javascript", "csharp", "go", "ruby", "php"],
)
def test_type_and_innermost_frames_are_read(stack: str, type_name: str, frames: list[str]) -> None:
    """Innermost first, of the last cause, without paths and line numbers."""
    assert looks_like_stack(stack)
    assert type_in_stack(stack) == type_name
    assert frames_of(stack)[:2] == frames


def test_a_new_build_of_the_same_code_has_the_same_shape() -> None:
    """Line numbers, addresses and generated names are no part of it."""
    other = JAVA.replace(":150", ":151").replace("get$3", "get$17").replace("$$1f0a", "$$77be")
    assert exception_shape("X", other) == exception_shape("X", JAVA)
    assert exception_shape("X", JAVA).startswith("X caused by java.net.SocketTimeoutException < ")


def test_prose_is_no_stack_trace() -> None:
    """Also of several lines."""
    assert not looks_like_stack("it failed\nat noon, in the main(hall)\nand nobody saw it")


def test_a_stack_without_end_is_read_in_part() -> None:
    """A recursion prints the same frames thousands of times."""
    deep = "Boom\n" + "\tat org.acme.Deep.dive(Deep.java:1)\n" * 100_000
    assert frames_of(deep) == ["org.acme.Deep.dive"]

# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The worker of synopsis.py."""

import socket


def find_factors(number: int) -> list[int]:
    factors = []
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return [*factors, number] if number > 1 else factors


def serve(connection: socket.socket, greeting: str) -> None:
    with connection.makefile("rw") as file:
        for line in file:
            print(f"{greeting}{int(line)}:", *find_factors(int(line)), file=file, flush=True)

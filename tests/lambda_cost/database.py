"""A plain client over libpq, with one kept connection, and what a function asked by the server's own log."""

import ctypes
import ctypes.util
import datetime
import re

EXPECTED = {1, 2}  # PGRES_COMMAND_OK, PGRES_TUPLES_OK
PARAMETER = re.compile(r"\$\d+ = (?:NULL|'((?:[^']|'')*)')")
LINE = re.compile(r"^([^|\n]*)\|(\d+)\|(\w+):  ((?:.*)(?:\n\t.*)*)$", re.MULTILINE)
MOMENT = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def libpq():
    library = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
    library.PQconnectdb.restype = library.PQexec.restype = library.PQexecParams.restype = ctypes.c_void_p
    library.PQerrorMessage.restype = ctypes.c_char_p
    return library


class Connection:
    def __init__(self, url):
        self._library = libpq()
        self._connection = ctypes.c_void_p(self._library.PQconnectdb(url.encode()))
        if self._library.PQstatus(self._connection) != 0:
            raise RuntimeError(self._library.PQerrorMessage(self._connection).decode())

    def run(self, statement):
        """One statement in one round trip, by the simple protocol where it has no parameters and is no query."""
        values = statement.values_now()
        sql = statement.sql.encode()
        if values is None:
            result = self._library.PQexec(self._connection, sql)
        else:
            array = (ctypes.c_char_p * len(values))(*(None if value is None else value.encode() for value in values))
            result = self._library.PQexecParams(self._connection, sql, len(values), None, array, None, None, 1)
        result = ctypes.c_void_p(result)
        status = self._library.PQresultStatus(result)
        self._library.PQclear(result)
        if status not in EXPECTED:
            raise RuntimeError(self._library.PQerrorMessage(self._connection).decode())


class Statement:
    """`values` is None for the simple protocol."""

    def __init__(self, sql, values):
        self.sql, self.values = sql, values

    def values_now(self):
        if self.values is None:
            return None
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        return [now if value and MOMENT.match(value) else value for value in self.values]

    def normal(self):
        return " ".join(self.sql.split())


SELECT_1 = Statement("select 1", [])


def logged_statements(log, database):
    """What was asked of this database, in order, by a log with the prefix %d|%p| and log_statement = all."""
    statements = []
    for name, _, level, text in LINE.findall(log):
        text = text.replace("\n\t", "\n")
        if name != database:
            continue
        if level == "LOG" and text.startswith("statement: "):
            statements.append(Statement(text.removeprefix("statement: "), None))
        elif level == "LOG" and text.startswith("execute <unnamed>: "):
            statements.append(Statement(text.removeprefix("execute <unnamed>: "), []))
        elif level == "DETAIL" and text.startswith("parameters: ") and statements:
            statements[-1].values = [
                None if match.group(1) is None else match.group(1).replace("''", "'") for match in PARAMETER.finditer(text)
            ]
    return statements

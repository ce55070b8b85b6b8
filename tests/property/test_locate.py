"""Locating and cutting `port`: the service is asked for the visitor's very bytes minus that pair,
and the authorizer judges the segments that the wrapped app would see."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.given import environ, target_of
from wsgi_portproxy.errors import InvalidPort, NotFound, PortProxyError
from wsgi_portproxy.locate.host_template import HostTemplate
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.request_target import raw_target
from wsgi_portproxy.locate.target import Target, cut_port, parse_port, with_port
from wsgi_portproxy.locate.visit import Visit

from . import made

LOCATOR = Locator(Mount("/{username}/{project}"))
PLAIN_PREFIX = "/alice/vision"


def at(script: str, target: str, server: str = "gunicorn") -> dict[str, object]:
    """The environ of a request below a SCRIPT_NAME."""
    url_script = quote(script, safe="/", encoding="latin-1")
    return environ(url_script + target, script_name=script, server=server)


def located(made_environ: dict[str, object]) -> Target | None:
    """The target, or None for one that is refused: as `NotFound` or `BadRequest`, nothing else."""
    try:
        return target_of(LOCATOR, Visit(made_environ))
    except PortProxyError:
        return None


@given(made.other_pairs, made.other_pairs, made.ports, made.rest, made.scripts, made.servers)
def test_the_query_arrives_as_sent_but_for_its_port_wherever_that_stands(
    before: list[str], after: list[str], port: int, rest: str, script: str, server: str
) -> None:
    query = "&".join([*before, f"port={port}", *after])
    target = target_of(LOCATOR, Visit(at(script, f"{PLAIN_PREFIX}{rest}?{query}", server)))
    assert target is not None
    assert (target.port, target.form) == (port, "query")
    others = "&".join([*before, *after])
    assert target.path_qs == rest + (f"?{others}" if others else "")


@given(made.any_query, made.ports, made.rest, made.scripts, made.servers)
def test_in_the_path_form_path_and_query_arrive_as_sent(
    query: str, port: int, rest: str, script: str, server: str
) -> None:
    target = target_of(
        LOCATOR, Visit(at(script, f"{PLAIN_PREFIX}/proxy/{port}{rest}?{query}", server))
    )
    assert target is not None
    assert (target.port, target.form) == (port, "path")
    assert target.path_qs == f"{rest}?{query}"


@given(made.other_pairs, made.ports, made.rest, made.scripts)
def test_what_is_located_in_the_query_form_is_found_again_at_the_url_made_of_it(
    pairs: list[str], port: int, rest: str, script: str
) -> None:
    query = "&".join([*pairs, f"port={port}"])
    target = target_of(LOCATOR, Visit(at(script, f"{PLAIN_PREFIX}{rest}?{query}")))
    assert target is not None
    again = with_port(target).removeprefix(quote(script, safe="/", encoding="latin-1"))
    assert target_of(LOCATOR, Visit(at(script, again))) == target


@pytest.mark.case("only the pair is cut out of the query; a bare ? stays")
@given(made.any_query)
def test_every_port_is_cut_and_nothing_else(query: str) -> None:
    values, others = cut_port(query)
    pairs = query.split("&")
    assert others == "&".join(pair for pair in pairs if not made.names_port(pair))
    assert len(values) == sum(map(made.names_port, pairs))
    assert cut_port(others) == ([], others)


@given(st.one_of(made.any_text, made.any_pair, st.integers(0, 99999).map(str)))
def test_a_port_is_what_python_writes_for_its_number_and_nothing_else(raw: str) -> None:
    try:
        port = parse_port(raw)
    except InvalidPort as error:
        assert not raw.isascii() or not raw.isdigit() or len(raw) > 5 or raw[0] == "0"
        assert error.message.isascii()  # noqa: PT017
    else:
        assert str(port) == raw


any_target = st.one_of(
    st.builds("{}?{}".format, made.any_rest, made.any_query),
    st.builds("/alice/vision{}?port=16006&{}".format, made.any_rest, made.any_query),
    st.builds("/alice/vision/proxy/16006{}?{}".format, made.any_rest, made.any_query),
    st.builds("/{}/{}{}?port=16006".format, made.segment, made.segment, made.any_rest),
)


@pytest.mark.promise("The authorizer judges what your app would see")
@given(any_target, made.scripts, st.sampled_from(["gunicorn", "waitress", "gevent"]))
def test_the_authorizer_is_given_the_segments_that_the_app_would_see(
    target: str, script: str, server: str
) -> None:
    made_environ = at(script, target, server)
    found = located(made_environ)
    if found is not None:
        by_app = str(made_environ["PATH_INFO"]).encode("latin-1").decode("utf-8", "replace")
        assert [found.params["username"], found.params["project"]] == by_app.split("/")[1:3]
        assert not {"", ".", ".."} & set(found.params.values())
        prefix = unquote(found.prefix, "latin-1").removeprefix(script)
        assert str(made_environ["PATH_INFO"]).startswith(prefix)


@given(any_target, made.servers)
def test_no_path_climbs_out_of_the_service_for_any_reader(target: str, server: str) -> None:
    found = located(at("", target, server))
    if found is not None:
        depth = 0
        path = unquote(found.path_qs.partition("?")[0]).replace("\\", "/")
        for part in path.split("/"):
            depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
            assert depth >= 0


@given(
    st.one_of(any_target, made.latin1),
    st.one_of(made.latin1, made.any_rest),
    st.one_of(made.latin1, made.any_query.map("port=16006&{}".format)),
    made.latin1,
)
def test_whatever_a_server_says_the_target_holds_visible_ascii_only(
    raw: str, info: str, query: str, script: str
) -> None:
    made_environ = environ(RAW_URI=raw, PATH_INFO=info, QUERY_STRING=query, SCRIPT_NAME=script)
    found = located(made_environ)
    if found is not None:
        assert set(found.path_qs + found.prefix) <= set(made.VISIBLE)
        assert not found.prefix.startswith(("//", "/\\"))
    assert set(raw_target(made_environ).path) <= set(made.VISIBLE)


# --- Host names ----------------------------------------------------------------------------------

TEMPLATES = [
    "{port}.ports.example.com",
    "p{port}.example.com",
    "{port}.localhost:8000",
    "{port}--{username}.lab.test",
    "{username}-{project}-{port}.lab.test",
    "{port}.{project}.{username}.lab.test:443",
    "x-{project}.{port}.lab.test",
]
FORMS = {
    template: HostTemplate(template, frozenset({"username", "project"})) for template in TEMPLATES
}
label = st.one_of(
    st.text("abc019_-", max_size=6),
    made.any_text,
    st.sampled_from(["alice", "a--b", "x" * 70]),
)
of_templates = settings(max_examples=3 * settings().max_examples)  # there are seven


@of_templates
@given(st.sampled_from(TEMPLATES), made.ports, label, label, st.sampled_from(["", ":8000"]))
def test_a_host_name_that_was_made_says_what_it_was_made_of(
    template: str, port: int, username: str, project: str, shown: str
) -> None:
    form = FORMS[template]
    params = {"username": username, "project": project}
    name = form.authority(port, params, {"HTTP_HOST": "app.test" + shown})
    if name is None:
        return
    for host in (name, name.upper(), name.partition(":")[0] + "."):
        matched = form.match({"HTTP_HOST": host})
        assert matched is not None
        assert matched.port == str(port)
        assert matched.params == {key: params[key] for key in form.names}


@of_templates
@given(
    st.sampled_from(TEMPLATES),
    st.one_of(made.any_text, made.mixed(["16006", "-", "--", ".", "alice", "p", "x-"], "ab0_", 9)),
)
def test_a_host_name_that_is_understood_is_the_one_that_would_be_made(
    template: str, name: str
) -> None:
    form = FORMS[template]
    host = name + template.partition(":")[0].rpartition("}")[2]
    try:
        matched = form.match({"HTTP_HOST": host})
    except NotFound:
        return
    if matched is not None and matched.port.isascii() and matched.port.isdigit():
        try:
            port = parse_port(matched.port)
        except InvalidPort:
            return
        made_again = form.authority(port, matched.params, {})
        if made_again is not None:
            assert made_again.partition(":")[0] == host.lower().partition(":")[0].removesuffix(".")

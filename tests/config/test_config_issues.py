"""What is wrong with keys and values: all at once, each at its line and column, in plain words."""

from __future__ import annotations

import re

import pytest

GOOD = """
upstreams:
  a:
    base_url: https://a.example
    provider: {type: api_key, keys: "${KEY}"}
"""
ENVIRON = {"KEY": "k", "LONG_KEY": "k" * 32, "REDIS_URL": "redis://127.0.0.1"}

# What is added to GOOD below the upstream `a`, in line 6, and what is said of it.
IN_UPSTREAM = {
    "unknown key": ("prot: 1", "6:5: upstreams.a.prot: unknown key (did you mean 'port'?)"),
    "unknown key without a near one": ("xyz: 1", "6:5: upstreams.a.xyz: unknown key"),
    "port as text": ("port: many", "6:5: upstreams.a.port: expected a whole number"),
    "port as truth": ("port: true", "6:5: upstreams.a.port: expected a whole number"),
    "port too high": ("port: 65536", "6:5: upstreams.a.port: must be 65535 or less"),
    "port zero": ("port: 0", "6:5: upstreams.a.port: must be 1 or more"),
    "wrong choice": (
        "client_credential: replce",
        (
            "6:5: upstreams.a.client_credential:"
            " expected one of replace, reject, pass (did you mean 'replace'?)"
        ),
    ),
    "bare number as duration": (
        "timeouts: {connect: 10}",
        "6:16: upstreams.a.timeouts.connect: expected a duration such as 90s, 5m, 24h or 7d",
    ),
    "unknown injection place": (
        "inject: {in: headr, name: x}",
        (
            "6:14: upstreams.a.inject.in: expected one of header, query, body, cookie, path"
            " (did you mean 'header'?)"
        ),
    ),
    "injection without a place": (
        "inject: [{name: x}]",
        "6:14: upstreams.a.inject[0].in: is required",
    ),
    "injection without a name": (
        "inject: [{in: query}]",
        "6:14: upstreams.a.inject[0].name: is required",
    ),
    "no injection at all": ("inject: []", "6:5: upstreams.a.inject: must not be empty"),
    "rejection as text": (
        "reject_on: [never]",
        "6:17: upstreams.a.reject_on[0]: expected a whole number",
    ),
    "rejection with a wrong key": (
        "reject_on: [{status: 403, contain: x}]",
        "6:31: upstreams.a.reject_on[0].contain: unknown key (did you mean 'contains'?)",
    ),
    "list expected": ("reject_on: 401", "6:5: upstreams.a.reject_on: expected a list"),
    "rule without content": ("allow: [{}]", "6:13: upstreams.a.allow[0]: needs methods or paths"),
    "method in small letters": (
        "deny: [{methods: [get]}]",
        "6:23: upstreams.a.deny[0].methods[0]: a method is written in capitals, such as GET",
    ),
    "path without slash": (
        "deny: [{paths: [v1]}]",
        "6:21: upstreams.a.deny[0].paths[0]: a path glob begins with / or **",
    ),
    "local answer without content": (
        "local_answers: [{paths: [/x]}]",
        "6:21: upstreams.a.local_answers[0].json: is required",
    ),
}


@pytest.mark.parametrize("case", IN_UPSTREAM)
def test_a_wrong_value_is_reported_where_it_stands(case, issues):
    text, expected = IN_UPSTREAM[case]
    assert issues(f"{GOOD}    {text}\n", ENVIRON) == [f"sidekey.yaml:{expected}"]


# What stands in place of `provider: ...` in line 5.
IN_PROVIDER = {
    "absent": ("", "3:3: upstreams.a.provider: is required"),
    "empty": ("provider:", "5:5: upstreams.a.provider: expected keys with values"),
    "without type": (
        "provider: {keys: '${KEY}'}",
        "5:5: upstreams.a.provider.type: is required",
    ),
    "unknown type": (
        "provider: {type: apikey}",
        (
            "5:16: upstreams.a.provider.type: expected one of api_key, jquants,"
            " oauth2_client_credentials, token_endpoint, miauth, misskey_app"
            " (did you mean 'api_key'?)"
        ),
    ),
    "without a required key": (
        "provider: {type: api_key}",
        "5:5: upstreams.a.provider.keys: is required",
    ),
    "misspelt key": (
        "provider: {type: jquants, refresh_token: '${KEY}', id_token_lifetme: 1h}",
        (
            "5:56: upstreams.a.provider.id_token_lifetme: unknown key"
            " (did you mean 'id_token_lifetime'?)"
        ),
    ),
    "number as password": (
        "provider: {type: api_key, keys: 12345}",
        "5:31: upstreams.a.provider.keys: expected text: put the value in quotes",
    ),
    "empty secret": (
        "provider: {type: api_key, keys: ['']}",
        "5:38: upstreams.a.provider.keys[0]: must not be empty",
    ),
    "keys that need each other": (
        "provider: {type: jquants, password: '${KEY}'}",
        "5:5: upstreams.a.provider: mailaddress and password go together",
    ),
    "half of a pair": (
        (
            "provider: {type: token_endpoint, request:"
            " {url: 'https://x.example', auth: {basic: ['${KEY}']}}}"
        ),
        "5:81: upstreams.a.provider.request.auth.basic: needs an entry number 2",
    ),
}


@pytest.mark.parametrize("case", IN_PROVIDER)
def test_a_wrong_provider_is_reported_where_it_stands(case, issues):
    text, expected = IN_PROVIDER[case]
    written = re.sub("provider: .*", lambda _: text, GOOD)
    assert issues(written, ENVIRON) == [f"sidekey.yaml:{expected}"]


# Whole files in front of GOOD, which begins in the line after.
AT_THE_TOP = {
    "unknown section": ("listn: {}", "1:1: listn: unknown key (did you mean 'listen'?)"),
    "no keys": ("listen: 8080", "1:1: listen: expected keys with values"),
    "memory with a path": (
        "store: {type: memory, path: /x}",
        "1:1: store: path needs type: file",
    ),
    "memory with a key": (
        "store: {type: memory, key: '${LONG_KEY}'}",
        "1:1: store: key needs type: file or redis",
    ),
    "a file with a url": (
        "store: {url: 'redis://127.0.0.1', prefix: a}",
        "1:1: store: prefix and url need type: redis",
    ),
    "redis with a path": (
        "store: {type: redis, path: /x}",
        "1:1: store: path needs type: file",
    ),
    "redis without a key": (
        "store: {type: redis, url: '${REDIS_URL}'}",
        "1:1: store: type: redis needs url, and a key that all of the fleet have",
    ),
    "redis with another url": (
        "store: {type: redis, url: '${KEY}', key: '${LONG_KEY}'}",
        ("1:22: store.url: expected a URL such as rediss://user:password@redis.example:6379/0"),
    ),
    "short store key": ("store: {key: '${KEY}'}", "1:9: store.key: needs at least 32 characters"),
    "home sign": (
        "store: {path: ~/tokens}",
        "1:9: store.path: ~ is not expanded here: write ${HOME}",
    ),
    "unknown store": (
        "store: {type: reddis}",
        "1:9: store.type: expected one of file, memory, redis (did you mean 'redis'?)",
    ),
}


@pytest.mark.parametrize("case", AT_THE_TOP)
def test_a_wrong_section_is_reported_where_it_stands(case, issues):
    text, expected = AT_THE_TOP[case]
    assert issues(text + GOOD, ENVIRON) == [f"sidekey.yaml:{expected}"]


@pytest.mark.parametrize("url", ["ftp://a", "a.example", "https://a.example/v1?x=1", "https://a b"])
def test_a_base_url_is_absolute_http_without_query(url, issues):
    found = issues(GOOD.replace("https://a.example", f"'{url}'"), ENVIRON)
    assert [line.split(": ")[:2] for line in found] == [
        ["sidekey.yaml:4:5", "upstreams.a.base_url"]
    ]


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "localhost:5173", "ftp://a.example", "http://a b", "http://[hunter2]", ""),
        *("http://a.example/", "http://a.example/v1", "http://A.example", "https://a.example:443"),
        *("http://me:hunter2@a.example", "http://a.example:x", "http://a.example#x"),
    ],
)
def test_an_origin_is_told_by_an_example_of_one(origin, issues):
    assert issues(f"listen: {{allowed_origins: ['{origin}']}}" + GOOD, ENVIRON) == [
        (
            "sidekey.yaml:1:28: listen.allowed_origins[0]: expected an origin such as"
            " http://localhost:5173, in lower case, without path or default port"
        )
    ]


def test_a_password_in_a_url_is_not_repeated(issues):
    for url in ("https://me:hunter2@a.example", "https://me:hunter2/x", "https://[hunter2]/x"):
        found = issues(GOOD.replace("https://a.example", f"'{url}'"), ENVIRON)
        assert len(found) == 1
        assert "unter2" not in found[0]


@pytest.mark.parametrize("name", ["Portal", "_sidekey", "a_b", "-a", "a.b", "é", "x" * 64, ""])
def test_a_name_that_cannot_be_a_host_name_is_refused(name, issues):
    found = issues(GOOD.replace("  a:", f"  '{name}':"), ENVIRON)
    assert len(found) == 1
    assert found[0].startswith("sidekey.yaml:3:3: upstreams.")
    assert "it becomes the host name NAME.localhost" in found[0]


@pytest.mark.parametrize("text", ["upstreams: {}", "listen: {}", "upstreams:", "upstreams: [a]"])
def test_a_file_without_upstreams_is_refused(text, issues):
    assert len(issues(text)) == 1


@pytest.mark.parametrize("secret", ["0123456789abcdef" * 2, "hunter-2!", "a.b", "é", "${KEY}"])
def test_a_key_that_does_not_look_like_a_name_is_told_by_its_place_only(secret, issues):
    """Somebody may have pasted a secret in the place of a key."""
    key = f'"{secret}"'
    upstream = f"{{port: 8080, base_url: 'https://a.example', provider: {{{key}: 1, {key}: 2}}}}"
    found = issues(f"{key}: 1\nupstreams:\n  {key}: {upstream}\n  b: {{port: 8080}}\n")
    assert found[0] == "sidekey.yaml:1:1: <key>: unknown key"
    assert any("upstreams.<key>.provider.<key>: duplicate key" in line for line in found)
    assert not any(secret in line for line in found)


def test_a_key_that_looks_like_a_name_is_told(issues):
    (line,) = issues(GOOD.replace("  a:", f"  {'a' * 30}:") + "    X-Key_1: 1", ENVIRON)
    assert line.startswith(f"sidekey.yaml:6:5: upstreams.{'a' * 30}.X-Key_1: unknown key")


def test_a_port_is_taken_by_an_upstream_whose_name_is_not_told(issues):
    upstream = "{base_url: 'https://a.example', provider: {type: miauth}, port: 8081}"
    found = issues(f"upstreams:\n  hunter-2!: {upstream}\n  b: {upstream}")
    assert "sidekey.yaml:3:64: upstreams.b.port: port 8081 is taken by upstreams.<key>" in found


TAKEN_FIELDS = """
Authorization X-Api-Key x_api_key Cookie cookie2 Host Connection Content-Length Content_Length TE
Transfer-Encoding Content-Type Content-Encoding Proxy-Authorization Upgrade Expect Origin Referer
Via Sec-Fetch-Site X-Forwarded-For Sidekey-Hop Sidekey-Token User-Agent
"""


def shown_in(name):
    return f"clients:\n  header:\n    name: {name}\n    value: a-made-up-client-key\n"


@pytest.mark.parametrize("name", TAKEN_FIELDS.split())
def test_clients_cannot_be_known_by_a_field_that_has_a_meaning(name, issues):
    """The secret would reach the upstream, take the place of a credential, of framing, or of what
    the dashboard shows, or a browser would send something else.
    """
    assert issues(shown_in(name) + GOOD, ENVIRON) == [
        (
            "sidekey.yaml:3:5: clients.header.name: this field has a meaning already: choose one"
            " such as Sidekey-Client"
        )
    ]


@pytest.mark.parametrize("rule", ["X-Team-Key", "x_team-KEY"])
def test_clients_cannot_be_known_by_the_field_of_a_credential(rule, issues, load_text):
    text = shown_in("X-Team_Key") + GOOD
    assert load_text(text + "    inject: {in: query, name: X-Team-Key}\n", ENVIRON)
    assert issues(
        text + f"    inject: [{{in: query, name: k}}, {{in: header, name: {rule}}}]\n", ENVIRON
    ) == [
        (
            "sidekey.yaml:3:5: clients.header.name: the credential of upstreams.a goes into this"
            " field: choose another one"
        )
    ]


def test_the_default_field_of_clients_cannot_hold_a_credential_either(issues):
    text = "clients: {header: {value: a-made-up-client-key}}" + GOOD
    (line,) = issues(text + "    inject: {in: header, name: Sidekey-Client}\n", ENVIRON)
    assert line.startswith("sidekey.yaml:1:11: clients.header.name: the credential of upstreams.a")


def passing(name, more=""):
    return (
        f"  {name}:\n    base_url: https://{name}.example\n"
        f"    provider: {{type: miauth}}\n    cookies: pass\n{more}"
    )


def test_an_upstream_with_a_port_passes_cookies_only_if_no_other_one_does(issues, load_text):
    """Cookies know no ports: at its own one its path is `/`, so the other one would get them."""
    port = "    port: 8081\n"
    assert issues("upstreams:\n" + passing("a", port) + passing("b")) == [
        (
            "sidekey.yaml:5:5: upstreams.a.cookies: cookies know no ports, and upstreams.b would"
            " get these too: take port away"
        )
    ]
    assert (
        len(issues("upstreams:\n" + passing("a", port) + passing("b", port.replace("1", "2")))) == 2
    )
    assert load_text("upstreams:\n" + passing("a") + passing("b"))
    assert load_text(GOOD + passing("b", port), ENVIRON)


def test_two_upstreams_cannot_share_a_port(issues):
    second = "  b:\n    base_url: https://b.example\n    provider: {type: miauth}\n    port: 8081\n"
    assert issues(f"{GOOD}    port: 8081\n{second}", ENVIRON) == [
        "sidekey.yaml:10:5: upstreams.b.port: port 8081 is taken by upstreams.a"
    ]


def test_an_upstream_cannot_have_the_port_that_all_share(issues, load_text):
    taken = "sidekey.yaml:6:5: upstreams.a.port: port 8080 is taken by listen.port"
    own = f"{GOOD}    port: 8080\n"
    assert issues(own, ENVIRON) == [taken]
    assert load_text(own, ENVIRON, {"listen.port": 0}).settings.upstreams["a"].port == 8080
    assert load_text("listen: {unix_socket: /run/s}" + own, ENVIRON)


def test_everything_is_reported_at_once_in_the_order_of_the_file(issues):
    text = """
listn: {}
listen: {port: "${PORT}", port: 2}
upstreams:
  a:
    base_url: ftp://a
    provider: {type: jquants, mailadress: x}
  b:
    preset: jquants-v3
    port: 8080
  c:
    preset: fujitsu-portal-oauth2
    port: 8080
    provider: {client_id: 1}
"""
    assert issues(text, mode=0o644) == [
        "sidekey.yaml:2:1: listn: unknown key (did you mean 'listen'?)",
        "sidekey.yaml:3:10: listen.port: the environment variable PORT is not set",
        "sidekey.yaml:3:27: listen.port: duplicate key, first written in line 3",
        (
            "sidekey.yaml:6:5: upstreams.a.base_url:"
            " expected an absolute URL such as https://api.example.com/v1"
        ),
        (
            "sidekey.yaml:7:31: upstreams.a.provider.mailadress: unknown key"
            " (did you mean 'mailaddress'?)"
        ),
        (
            "sidekey.yaml:9:5: upstreams.b.preset: unknown preset (did you mean 'jquants-v2'?);"
            " `sidekey presets` lists them"
        ),
        "sidekey.yaml:13:5: upstreams.c.port: port 8080 is taken by upstreams.b",
        "sidekey.yaml:14:5: upstreams.c.provider.client_secret: is required",
        (
            "sidekey.yaml:14:16: upstreams.c.provider.client_id:"
            " expected text: put the value in quotes"
        ),
    ]

"""What a browser shows of a sign-in: what is asked for, how long it waits, and how it ended."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from aiohttp import web

from proxy.credentials.token import Consent
from proxy.errors import SidekeyError
from proxy.observe.markup import Markup, element, html_page
from proxy.observe.sign_ins import SignIn
from proxy.observe.status import SERVING, Status
from proxy.refusals import ClientHeaderRequired

SCRIPT = "/_sidekey/static/login.js"
AGAIN = 3  # seconds until a page without a script looks again


def path_of(name: str) -> str:
    """Return the path of the sign-in page of an upstream."""
    return f"/_sidekey/login/{quote(name, safe='')}"


def start_page(
    name: str,
    consent: Consent,
    status: Status,
    ended: SignIn | None,
    token: str,
    *,
    is_lasting: bool,
) -> web.Response:
    """Say what a sign-in asks for, with the button that begins it; tell how the last one `ended`.

    Tokens that are not `is_lasting` are gone when sidekey ends.
    """
    return html_page(
        f"Sign in to {name}",
        *_outcome(ended),
        _paragraph(_present(status)),
        element("h2", "What is asked for"),
        *_asked(consent),
        _form(path_of(name), f"Continue to {_host(consent.server)}", token, begins=name),
        element("h2", "What happens then"),
        *_afterwards(name, consent, is_lasting=is_lasting),
        script=SCRIPT,
        form_action=f"'self' {consent.server}",
        data_upstream=name,
        data_state="start",
    )


def waiting_page(name: str, sign_in: SignIn, token: str) -> web.Response:
    """Say that a sign-in waits, for how long, and how to go on with it or end it."""
    assert sign_in.login is not None
    url = sign_in.login.url
    return html_page(
        f"Signing in to {name}",
        element(
            "p",
            "sidekey waits for your approval at ",
            element("a", _host(url), href=url, rel="noreferrer"),
            ".",
        ),
        element("p", "Time left: ", element("span", "at most 5 minutes", id="left"), role="timer"),
        _paragraph("If you refuse there, the server tells nobody: cancel here, or let it run out."),
        _form(f"{path_of(name)}/cancel", "Cancel", token),
        _by_hand(),
        script=SCRIPT,
        data_upstream=name,
        data_state="waiting",
        data_expires=f"{sign_in.expires:.3f}",
    )


def elsewhere_page(name: str) -> web.Response:
    """Say that another process waits for a sign-in."""
    return html_page(
        f"Signing in to {name}",
        _paragraph(
            "Another process of sidekey waits for this sign-in: a `sidekey login` in a terminal, or"
            " another worker. Finish it where it was begun, or let it run out."
        ),
        _paragraph("This page notices when it is over."),
        _by_hand(),
        script=SCRIPT,
        data_upstream=name,
        data_state="waiting",
    )


def ended_page(sign_in: SignIn) -> web.Response:
    """Tell the browser that comes back how the sign-in ended, and nothing else."""
    if sign_in.state == "failed":
        failure = _failure(sign_in)
        again = element("p", element("a", "Try again", href=path_of(sign_in.source.name)))
        status = 500 if sign_in.error is None else sign_in.error.status
        return html_page("Not signed in", *failure, again, status=status)
    return html_page(
        "Signed in" if sign_in.user is None else f"Signed in as {sign_in.user}",
        _paragraph("The token is kept, and requests use it from now on. You can close this tab."),
        element("p", element("a", "See it in the dashboard", href="/_sidekey/")),
    )


def returned_page(name: str) -> web.Response:
    """Let a browser wait that came back before the server says that somebody approved."""
    return html_page(
        f"Signing in to {name}",
        _paragraph("You are back, but the server does not say yet that you approved."),
        _paragraph(f"This page asks again every {AGAIN} seconds."),
        refresh=f"{AGAIN}",
    )


def returned_elsewhere_page(name: str) -> web.Response:
    """Send on a browser that came back to a process that did not begin its sign-in."""
    return html_page(
        f"Signing in to {name}",
        _paragraph("Another process of sidekey waits for this sign-in, and notices your approval."),
        element("p", element("a", "See how it ends", href=path_of(name))),
        refresh=f"{AGAIN}; url={path_of(name)}",
    )


def foreign_page(name: str) -> web.Response:
    """Say that a browser came back from a sign-in that is not the one under way."""
    return html_page(
        "Not this sign-in",
        _paragraph(
            "Your browser was led here by a sign-in that sidekey does not wait for: another one, or"
            " one that is over. Nothing has changed."
        ),
        element("p", element("a", f"Sign in to {name}", href=path_of(name))),
        status=400,
    )


def needless_page(name: str, status: Status) -> web.Response:
    """Say that an upstream needs no sign-in."""
    return html_page(
        f"{name} needs no sign-in",
        _paragraph("Its credential stands in the configuration, and sidekey signs in by itself."),
        _paragraph(_own_state(status)),
    )


def unknown_page(name: str, hint: str | None) -> web.Response:
    """Say that there is no such upstream, and which one was meant perhaps."""
    link = None if hint is None else element("a", f"Sign in to {hint}", href=path_of(hint))
    return html_page(
        "Unknown upstream",
        _paragraph(f"No upstream is named {name}."),
        *([] if link is None else [element("p", "Did you mean this? ", link)]),
        status=404,
    )


def stranger_page(refusal: SidekeyError) -> web.Response:
    """Ask for what `refusal` misses: a client key, or the value of the shared header.

    The page tells nothing else before.
    """
    header = refusal.header if isinstance(refusal, ClientHeaderRequired) else None
    wanted = "a client key" if header is None else f"the header {header}"
    label = "Client key" if header is None else f"Value of {header}"
    # Without a name it is not sent: where no script runs, it would stand in the address.
    field = element("input", type="password", id="shown", autocomplete="off", required=True)
    return html_page(
        "Client key" if header is None else "Client header",
        _paragraph(f"This sidekey serves only programs and people that show {wanted}."),
        element("p", id="refused", role="alert", hidden=True),
        element(
            "form",
            element("p", element("label", f"{label} ", field)),
            element("button", "Show the page", type="submit"),
        ),
        _scriptless("That needs JavaScript. Without it: sidekey login NAME"),
        script=SCRIPT,
        data_state="stranger",
        data_header=header,
    )


def _own_state(status: Status) -> str:
    if status.error is None:
        return "It works, as far as sidekey knows."
    beginning = "It may not work" if status.state in SERVING else "Now it cannot"
    helps = f" What helps: {status.fix}" if status.fix else ""
    return f"{beginning}: {status.error}.{helps}"


def _present(status: Status) -> str:
    if status.state in ("ready", "renewing"):
        who = "" if status.user is None else f" as {status.user}"
        but = f", but {status.error}" if status.error else ""
        return f"Signed in{who}{but}. To sign in again replaces that token."
    if status.state in ("idle", "expired", "acquiring"):
        return "There is no token yet; the first request gets one."
    return f"Not signed in: {status.error}." if status.error else "Not signed in."


def _asked(consent: Consent) -> list[Markup]:
    host = element("strong", _host(consent.server))
    if consent.permissions is None:
        words = " will ask whether your registered application may use your account, with the"
        words += " permissions that it was registered with. It lists them there."
        return [element("p", host, words)]
    name = element("strong", consent.application or "sidekey")
    asks = element("p", host, " will ask whether ", name, " may use your account. Permissions:")
    if not consent.permissions:
        return [asks, _paragraph("None: the token only shows who you are.")]
    return [asks, element("ul", *map(_permission, consent.permissions.items()))]


def _permission(named: tuple[str, str]) -> Markup:
    name, meaning = named
    return element("li", element("code", name), f": {meaning}" if meaning else "")


def _afterwards(name: str, consent: Consent, *, is_lasting: bool) -> list[Markup]:
    kept = "keeps it, encrypted" if is_lasting else "keeps it in memory, until sidekey ends"
    revoked = f"in the settings of your account at {_host(consent.server)}"
    steps = [
        "You approve or refuse on the server's own page; sidekey never sees your password.",
        f"sidekey fetches the token and {kept}. Programs use it through sidekey, and never see it.",
        f"It lasts until you revoke it {revoked}. To forget it here: sidekey logout {name}.",
    ]
    return [element("ul", *(element("li", step) for step in steps))]


def _outcome(ended: SignIn | None) -> list[Markup]:
    if ended is None:
        return []
    if ended.state == "failed":
        return _failure(ended)
    done = "You have signed in: the token is kept, and requests use it from now on."
    return [element("p", element("strong", done), role="status")]


def _failure(sign_in: SignIn) -> list[Markup]:
    said = [element("strong", "Not signed in: "), f"{sign_in.detail}."]
    if sign_in.fix is not None:
        said.append(f" What helps: {sign_in.fix}")
    return [element("p", *said, class_="problem", role="alert")]


def _form(action: str, button: str, token: str, begins: str | None = None) -> Markup:
    return element(
        "form",
        element("input", type="hidden", name="token", value=token),
        element("button", button, type="submit"),
        method="post",
        action=action,
        data_begins=begins,
    )


def _by_hand() -> Markup:
    return _scriptless("Without JavaScript: reload this page now and then.")


def _scriptless(text: str) -> Markup:
    """Return what the script takes away as soon as it runs."""
    return element("p", text, class_="scriptless")


def _paragraph(text: str) -> Markup:
    return element("p", text)


def _host(url: str) -> str:
    return urlsplit(url).netloc

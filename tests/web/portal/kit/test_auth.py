"""The door: cookies that only this host gets, sessions that end without trapping anybody, forms that are ours."""

from datetime import timedelta

from server.domain.accounts import sign_in
from server.domain.identity.sessions import PARTNER_LIMITS, STAFF_LIMITS
from server.domain.permissions import Role
from server.web import app as web
from server.web.portal.kit import cookies
from tests.visits import visit, words
from tests.world import WatchedResources, World


def test_a_session_that_has_ended_leads_to_signing_in_and_not_in_a_circle(sqlite_world: World) -> None:
    """Pages say that it has ended; signing in and out still work, and a form that is sent then says what to do."""
    guest = sqlite_world.visit("cleared")
    token = guest.csrf_token
    sqlite_world.clock.advance(timedelta(minutes=31))
    away = guest.get("/account")
    assert away.headers["Location"] == "/sign-in?next=/account"
    assert "Your session has ended" in words(guest.get("/sign-in"))
    late = guest.post("/account/sessions/end-others", csrf=token)
    assert late.status_code == 401
    assert "Sign in and try again" in words(late)
    assert guest.post("/sign-out", csrf=token).status_code == 303


def test_a_form_of_nowhere_is_refused_in_words(sqlite_world: World) -> None:
    """Without our token, with another visitor's, and with one that was altered."""
    mine, other = sqlite_world.visit("cleared"), sqlite_world.visit("cleared")
    for token in ("", other.csrf_token, mine.csrf_token + "x"):
        page = mine.post("/account/sessions/end-others", csrf=token)
        assert page.status_code == 400
        assert "reload the page" in words(page)


def test_a_device_is_known_to_whoever_signed_in_with_it(sqlite_world: World) -> None:
    """To them alone, the last three, for half a year; nobody makes one up, and the cookie tells nobody who they are."""
    app = web.create(sqlite_world.use)

    def device(cookie: str, email: str, signs_in: bool = False) -> tuple[str | None, str]:
        with app.test_request_context(headers={"Cookie": f"weightgate-device={cookie}"}):
            found, response = cookies.device_of(email), app.make_response("")
            if signs_in:
                cookies.give_first(response, sign_in.SignedIn("secret", Role.OWNER, email))
                cookie = response.headers.getlist("Set-Cookie")[1].partition(";")[0].partition("=")[2]
        return found, cookie

    none, cookie = device("", "a@b.example", signs_in=True)
    mine, _ = device(cookie, "A@B.example ")
    assert (none, device(cookie, "b@b.example")[0]) == (None, None)
    assert mine is not None
    for email in ("b@b.example", "c@b.example", "d@b.example"):
        _, cookie = device(cookie, email, signs_in=True)
    assert [device(cookie, f"{name}@b.example")[0] for name in "abcd"] == [None, mine, mine, mine]
    assert "b.example" not in cookie
    for made_up in ("", "x", "ü", cookie[:-12] + "AAAAAAAAAAA=", cookie[1:]):
        assert device(made_up, "d@b.example")[0] is None
    sqlite_world.clock.advance(timedelta(days=181))
    assert device(cookie, "d@b.example")[0] is None


def test_the_api_knows_no_cookie(sqlite_world: World) -> None:
    """Whoever is signed in to the portal is nobody there; it neither gives one nor asks caches to tell them apart."""
    client = sqlite_world.visit("cleared").client
    answer = client.get("/api/v1/me")
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers
    assert "Cookie" not in answer.headers.get("Vary", "")
    assert client.get("/tokens").status_code == 200


def test_over_tls_cookies_are_bound_to_the_host(sqlite_world: World) -> None:
    """`__Host-`, Secure, HttpOnly, Lax; and they live no longer than the session can."""
    settings = sqlite_world.settings.model_copy(update={"public_url": "https://weights.example.org"})
    app = web.create(WatchedResources(settings, sqlite_world.clock))
    for role, limits in ((Role.OWNER, PARTNER_LIMITS), (Role.ADMIN, STAFF_LIMITS)):
        with app.test_request_context():
            response = app.make_response("")
            cookies.give(response, sign_in.SignedIn("secret", role, "a@b.example"))
        (cookie,) = response.headers.getlist("Set-Cookie")
        assert cookie.startswith("__Host-session=secret; ")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        assert f"Max-Age={int(limits.absolute.total_seconds())}" in cookie
        assert "Domain" not in cookie
    page = visit(app, sqlite_world.use, None).get("/sign-in", base_url="https://weights.example.org")
    (state,) = [line for line in page.headers.getlist("Set-Cookie") if line.startswith("__Host-visitor=")]
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(state.split("; "))
    app.extensions["weightgate"].close()

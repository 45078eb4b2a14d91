"""Sample code as the vendors print it on their pages; only hosts and placeholders get replaced."""

from __future__ import annotations

# J-Quants API v1, page /token/auth_user
AUTH_USER_CURL = r"""
BODY="{\"mailaddress\":\"<YOUR EMAIL_ADDRESS>\", \"password\":\"<YOUR PASSWORD>\"}" && curl -X POST -H "Content-Type: application/json" -d "$BODY" https://api.jquants.com/v1/token/auth_user
"""  # noqa: E501  one line at the vendor's
AUTH_USER_PYTHON = """
import requests
import json

data={"mailaddress":"<YOUR EMAIL_ADDRESS>", "password":"<YOUR PASSWORD>"}
r_post = requests.post("https://api.jquants.com/v1/token/auth_user", data=json.dumps(data))
r_post.json()
"""

# J-Quants API v1, page /token/auth_refresh
AUTH_REFRESH_CURL = """
REFRESH_TOKEN=<YOUR REFRESH_TOKEN> && curl -XPOST https://api.jquants.com/v1/token/auth_refresh?refreshtoken=$REFRESH_TOKEN
"""
AUTH_REFRESH_PYTHON = """
import requests
import json

REFRESH_TOKEN = "YOUR refreshtokenID"
r_post = requests.post(f"https://api.jquants.com/v1/token/auth_refresh?refreshtoken={REFRESH_TOKEN}")
r_post.json()
"""

# Fujitsu portal, page auth-guide: what a call has to carry
PORTAL_KEY_HEADER = "X-Api-Key:<APIキー>"
PORTAL_TOKEN_HEADER = "X-Access-Token:<アクセストークン>"

# Misskey, page on access tokens: a body with the token (the example for meta)
MISSKEY_BODY = """
{
"i": "HogEFugA1341",
"detail": false
}
"""

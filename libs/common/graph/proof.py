"""Shows Meta that a call with a Page's token comes from the app's own server."""

import hashlib
import hmac


def appsecret_proof(token: str, app_secret: str) -> str:
    """Hex HMAC-SHA256 of the token, keyed with the app secret.

    Source: Graph API, "Secure Graph API calls".
    """
    return hmac.new(app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()

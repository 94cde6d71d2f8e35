"""Help: what anybody may read, signed in or not."""

from server.web.portal.help import check

MODULES = (check,)

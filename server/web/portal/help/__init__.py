"""Help: what anybody may read, signed in or not."""

from server.web.portal.help import api_reference, check, glossary

MODULES = (api_reference, check, glossary)
register = glossary.register

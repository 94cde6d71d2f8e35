"""What every signed URL carries, whoever signs it."""

import pytest

from server.storage.signing import content_disposition


@pytest.mark.parametrize(
    ("filename", "header"),
    [
        ("model.safetensors", 'attachment; filename="model.safetensors"'),
        ("read me.txt", 'attachment; filename="read me.txt"'),
        ('a"b\\c;d', "attachment; filename=\"a_b_c_d\"; filename*=UTF-8''a%22b%5Cc%3Bd"),
        ("gewichte-ü.txt", "attachment; filename=\"gewichte-_.txt\"; filename*=UTF-8''gewichte-%C3%BC.txt"),
        ("a\r\nSet-Cookie: x", "attachment; filename=\"a__Set-Cookie_ x\"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x"),
    ],
)
def test_a_file_name_cannot_leave_its_header(filename: str, header: str) -> None:
    """Quotes, line ends and foreign letters neither end the header nor get lost."""
    assert content_disposition(filename) == header

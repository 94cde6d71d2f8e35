"""The S3 door in the embedded store's proxy: what nginx is told, so that the web decides and nginx carries the bytes.

The web answers with where the store has the file. Of the client's request only the range and the user agent reach the
store; of the store's refusals, which quote what was signed, nothing reaches the client.
"""

from dataclasses import dataclass, field

RETRY_AFTER_SECONDS = 2  # a web worker that was killed has its successor by then


@dataclass(frozen=True, slots=True)
class S3Door:
    """Where the proxy lets S3 tools in. web: the address of the web server, which decides each request; secret: by
    which it knows the proxy. store_host: what signed URLs name as the store's host. is_behind_proxy: whether another
    proxy on this machine, which tells whom it heard from, is the only one that comes here."""

    port: int
    web: str
    store_host: str
    is_behind_proxy: bool
    secret: str = field(repr=False)


def nginx_conf(door: S3Door, bucket: str) -> str:
    """Return the part of nginx' settings that is inside `http`, after the maps of `embedded_config`."""
    host, _, port = door.web.rpartition(":")
    host = "127.0.0.1" if host in {"0.0.0.0", "[::]", ""} else host  # noqa: S104  # where it listens, not where we do
    real_ip = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;" if door.is_behind_proxy else ""
    text = _DOOR.replace("@answers@", "\n".join(_own_answer(*each) for each in _OWN_ANSWERS))
    for name, value in {
        "@port@": str(door.port), "@web@": f"{host}:{port}", "@secret@": door.secret, "@bucket@": bucket,
        "@host@": door.store_host, "@real_ip@": real_ip,
    }.items():  # fmt: skip
        text = text.replace(name, value)
    return text


def _own_answer(name: str, status: int, code: str, sentence: str) -> str:
    """A refusal of the proxy's own, as S3 writes it."""
    request_id = "<RequestId>$door_request_id</RequestId>"
    error = f"<Error><Code>{code}</Code><Message>{sentence}</Message>{request_id}</Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>{error}'
    later = f"add_header Retry-After {RETRY_AFTER_SECONDS} always; " if status == 503 else ""
    answer = f"{later}default_type application/xml; return {status} '{body}';"
    return f"        location = /weightgate-answers/{name} {{ internal; {answer} }}"


_DOOR = r"""
    upstream web {
        server @web@;
        keepalive 16;
        keepalive_timeout 3s;  # below the web server's 5 s
    }
    map "$request_method $request_uri" $asks_sts { default 0; "POST /" 1; }
    map $uri $door_key { default ""; "~^/weightgate-store/[^/]+/(?<key_in_store>.+)\z" $key_in_store; }
    log_format door_deliveries escape=json '{"ended_at":$msec,"request_id":"$request_id",'
        '"duration_seconds":$request_time,"remote_address":"$remote_addr","method":"$request_method",'
        '"bucket":"@bucket@","key":"$door_key","download_id":"$download_id","access_key_id":"$access_key_id",'
        '"status":$status,"bytes_sent":$body_bytes_sent,"range":"$door_range","object_size_bytes":$object_size_bytes,'
        '"user_agent":"$user_agent"}';

    server {
        listen 127.0.0.1:@port@;
        @real_ip@
        server_tokens off;
        merge_slashes off;
        client_max_body_size 0;
        client_header_timeout 10s;
        access_log off;  # what is not a file's bytes is in the web server's tables
        set $door_etag "";
        set $door_modified "";
        set $door_range "";
        set $door_request_id $request_id;

        error_page 400 414 494 = /weightgate-answers/malformed;
        error_page 418 = /weightgate-answers/read_only;
        error_page 404 = /weightgate-answers/outside;
        error_page 502 504 = /weightgate-answers/unavailable;

        location / {
            if ($asks_sts) { rewrite ^ /weightgate-sts last; }
            if ($request_method !~ "^(?:GET|HEAD)$") { return 418; }
            proxy_pass http://web/s3-door$request_uri;  # as it was signed: nothing of it is decoded
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;  # it is signed
            proxy_set_header X-Weightgate-Door @secret@;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto "";
            proxy_set_header X-Forwarded-Host "";
            proxy_set_header Forwarded "";
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_read_timeout 35s;
            proxy_next_upstream off;
        }

        # s5cmd and older libraries ask for keys where they ask for files.
        location = /weightgate-sts {
            internal;
            client_max_body_size 16k;
            proxy_pass http://web/sts;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto "";
            proxy_set_header X-Forwarded-Host "";
            proxy_set_header Forwarded "";
            proxy_read_timeout 35s;
            proxy_next_upstream off;
        }

        location /weightgate-store/ {
            internal;
            set $door_etag $upstream_http_x_door_etag;
            set $door_modified $upstream_http_x_door_modified;
            set $door_range $upstream_http_x_door_range;
            set $door_request_id $upstream_http_x_request_id;
            access_log logs/access.log door_deliveries;
            proxy_pass http://store/;
            proxy_http_version 1.1;
            proxy_pass_request_headers off;
            proxy_pass_request_body off;
            proxy_set_header Connection "";
            proxy_set_header Host @host@;  # it is signed
            proxy_set_header Range $door_range;
            proxy_set_header User-Agent $http_user_agent;
            proxy_hide_header ETag;
            proxy_hide_header Last-Modified;
            proxy_hide_header Content-Type;
            proxy_hide_header Vary;
            proxy_hide_header X-Amz-Request-Id;
            proxy_hide_header X-Amz-Meta-Sha256;
            proxy_hide_header Seaweed-X-Amz-Etag;
            proxy_hide_header Seaweed-X-Amz-Owner;
            add_header ETag $door_etag;
            add_header Last-Modified $door_modified;
            add_header X-Amz-Request-Id $door_request_id;
            proxy_buffering off;
            proxy_buffer_size 256k;  # as where the store itself is asked
            proxy_buffers 4 256k;
            proxy_read_timeout 300s;
            proxy_send_timeout 300s;
            proxy_next_upstream off;
            proxy_intercept_errors on;
            error_page 400 401 403 404 405 411 412 416 500 501 502 503 504 = /weightgate-answers/unavailable;
        }

@answers@
    }
"""
_OWN_ANSWERS = (
    ("read_only", 403, "AccessDenied", "Nothing is written here: this door only reads. Nothing was changed."),
    ("malformed", 400, "InvalidURI", "The address or a header is malformed, or too long."),
    ("outside", 404, "NoSuchBucket", "There is one bucket here, and it is called models."),
    ("unavailable", 503, "ServiceUnavailable", "The server does not answer. Try again in a few seconds."),
)

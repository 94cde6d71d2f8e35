"""What the embedded store's two programs are told: the texts of their configuration, and the access log's format.

Access log: one JSON object a line, written when the answer has ended. Text comes from the client and may hold bytes
that are not UTF-8: read with `errors="replace"`.

    ended_at            seconds since 1970, UTC, to the millisecond
    request_id          32 hex digits, a name for this request alone
    duration_seconds    from the request's first byte to the answer's last
    remote_address      who connected
    method              "GET", …
    bucket, key         decoded from the path, up to what no name of ours holds, then "[redacted]"; key is "" for a
                        request about the bucket
    download_id         parameter x-download-id, "" without one that could be one of ours; true on a 2xx line only:
                        anyone can be refused with one
    access_key_id       which identity signed (not a secret), "" for none; true on a 2xx line only, too
    status              200, 206, 403, …
    bytes_sent          of the body, also when the client went away before the end
    range               the Range header, "" without one or when it is none
    object_size_bytes   of the whole object; null where the answer does not tell
    user_agent          the client's word, up to what signs a URL

Neither the query string nor a header that signs is ever in it, even where a client has damaged a URL's `?` and the
query is part of its path: who reads the log must not be able to download.
"""

import grp
import json
import os
import pwd
import secrets
from collections.abc import Mapping

from server.storage import embedded_s3_door
from server.storage.keys import S3Credentials

# nginx workers started by root: they need no file, only the descriptors that they inherit.
UNPRIVILEGED_USER = "nobody"


def weed_arguments(ports: Mapping[str, int], portal: str) -> list[str]:
    """Return the flags of `weed mini`. Paths are relative to its working directory: a socket's name has at most 107
    bytes, whatever the length of the folder's own name."""
    flags = {
        "dir": "../data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        # Without this the master's port signs storage tokens for, and drops whole buckets for, whoever asks over HTTP.
        "disableHttp": "true",
        "master.telemetry": "false",  # on by default: it reports to the makers
        "webdav": "false",
        "admin.ui": "false",
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "s3.config": "s3.json",  # without it the store is open to everyone
        "s3.allowedOrigins": portal,  # else every site's; CORS, for the attachments that a page sends
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        "s3.iam": "false",  # identities are those of s3.json; nobody manages others over HTTP
        "s3.localSocket": "../run/s3.sock",
        "filer.localSocket": "../run/filer.sock",
    }
    for service in ("s3", "master", "volume", "filer", "admin"):
        flags[f"{service}.port"] = str(ports[service])
        flags[f"{service}.port.grpc"] = str(ports[service] + GRPC_OFFSET)
    return ["mini", *(f"-{name}={value}" for name, value in flags.items())]


# SeaweedFS' own convention: its worker looks for the admin server there, whatever the flags say.
GRPC_OFFSET = 10_000


# Every part that listens, and the client's part of them all.
GRPC_PEERS = ("master", "volume", "filer", "s3", "admin", "worker", "client", "msg_broker", "msg_agent", "mq")


def weed_environment(folder: str) -> dict[str, str]:
    """Return a whole environment. An inherited AWS_ACCESS_KEY_ID would become an administrator of the store, and
    WEED_* would override its settings.

    With half of the memory limit, a download costs the store 1.6 times the CPU, spent on collecting garbage, and the
    process is hardly smaller: 660 MB in place of 700 at its largest.
    """
    return {"HOME": f"{folder}/conf", "TMPDIR": f"{folder}/run", "GOMEMLIMIT": "768MiB", "PATH": os.defpath}


def security_toml(peer_key: str, peer_certificate: str) -> str:
    """Return SeaweedFS' security settings with fresh keys: they live as long as the process, which alone uses them.

    The keys close the HTTP ports of filer and volume server. The pair of files closes every gRPC port, to which each
    side shows the same certificate: it has to be readable by this user alone, and names no host.
    """
    keyed = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
    sections = [f'[{name}]\nkey = "{secrets.token_urlsafe(32)}"\nexpires_after_seconds = 10\n' for name in keyed]
    sections.append(f'[grpc]\nca = "{peer_certificate}"\n')
    sections += [f'[grpc.{name}]\ncert = "{peer_certificate}"\nkey = "{peer_key}"\n' for name in GRPC_PEERS]
    return "\n".join([*sections, "[access]\nui = false\n", "[filer.expose_directory_metadata]\nenabled = false\n"])


def s3_identities(
    publisher: S3Credentials,
    signer: S3Credentials,
    anchor: S3Credentials,
    findings: S3Credentials,
    uploads: S3Credentials,
    bucket: str,
    anchor_bucket: str,
) -> str:
    """Return who may do what: the signer can read objects of one bucket, and so can its URLs; nobody is anonymous.

    That anchors are created and never replaced is the proxy's to enforce: SeaweedFS knows no such right.
    """

    def identity(name: str, credentials: S3Credentials, actions: list[str]) -> dict[str, object]:
        pair = {"accessKey": credentials.access_key_id, "secretKey": credentials.secret_access_key}
        return {"name": name, "credentials": [pair], "actions": actions}

    identities = [
        identity("publisher", publisher, ["Admin", "Read", "List", "Tagging", "Write"]),
        identity("signer", signer, [f"Read:{bucket}"]),
        identity("findings", findings, [f"{action}:{bucket}/findings/*" for action in ("Read", "Write")]),
        identity("uploads", uploads, [f"{action}:{bucket}/uploads/*" for action in ("Read", "List", "Write")]),
        identity("anchor", anchor, [f"{action}:{anchor_bucket}" for action in ("Read", "List", "Write")]),
    ]
    return json.dumps({"identities": identities}, indent=2)


def nginx_conf(
    public_port: int, s3_port: int, anchor_bucket: str, bucket: str, door: embedded_s3_door.S3Door | None
) -> str:
    """Return nginx' settings; every path in it is relative to the store's folder, which is its prefix."""
    values = {"@user@": _user_line(), "@door@": "" if door is None else embedded_s3_door.nginx_conf(door, bucket)}
    values |= {"@public@": str(public_port), "@s3@": str(s3_port)}
    values |= {"@anchors@": anchor_bucket, "@signs@": _SIGNS}
    text = _NGINX
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _user_line() -> str:
    if os.geteuid() != 0:
        return ""  # nginx would only warn
    group = grp.getgrgid(pwd.getpwnam(UNPRIVILEGED_USER).pw_gid).gr_name
    return f"user {UNPRIVILEGED_USER} {group};"


# Parameters with which a query signs, in both versions of S3's signatures.
_SIGNS = "(?:X-Amz-(?:Algorithm|Credential|Signature)|AWSAccessKeyId|Signature)"

_NGINX = r"""
daemon off;
@user@
worker_processes 1;
pid run/nginx.pid;
error_log logs/nginx.log notice;
events { worker_connections 1024; }

http {
    # Errors about a request quote its whole line, signature included. What they would say is in the access log.
    error_log /dev/null emerg;

    # A URL whose `?` was damaged is all path, living signature included. Names end where no name of ours would go on.
    map $uri $bucket {
        default "[redacted]";
        "~^/+\z" "";
        "~^/(?<name_of_bucket>[A-Za-z0-9._-]{1,63})(?:/|\z)" $name_of_bucket;
    }
    map $uri $object_key {
        default "";
        "~*^/[^/]+/(?<start_of_object>[a-z0-9._/-]*?)(?:[^a-z0-9._/-]|x-amz-)" "$start_of_object[redacted]";
        "~^/[^/]+/(?<name_of_object>.+)\z" $name_of_object;
    }
    map $args $download_id { default ""; "~(?:^|&)x-download-id=(?<id_in_query>[A-Za-z0-9_-]+)(?:&|\z)" $id_in_query; }
    map $http_range $range { default ""; "~^(?<range_asked_for>[a-z]+=[0-9, -]+)\z" $range_asked_for; }
    map $http_user_agent $user_agent {
        default $http_user_agent;
        "~*^(?<start_of_agent>[\s\S]*?)x-amz-" "$start_of_agent[redacted]";
    }
    # Who signed: the query's word is the store's too, and an additional header proves nothing.
    map $args $access_key_id {
        default $key_id_in_header;
        "~(?:^|&)X-Amz-Credential=(?<key_in_query>[A-Za-z0-9]+)(?:/|%2[Ff])" $key_in_query;
        "~*(?:^|&)@signs@=" "";
    }
    map $http_authorization $key_id_in_header {
        default "";
        "~^AWS4-HMAC-SHA256 Credential=(?<key_in_header>[A-Za-z0-9]+)/" $key_in_header;
    }
    # Signed twice: of two signers the log could name the wrong one. AWS refuses it too. A second Authorization header
    # nginx refuses by itself.
    map $args $signed_in_query { default 0; "~*(?:^|&)@signs@=" 1; }
    map "$signed_in_query $http_authorization" $signed_twice {
        default 0;
        "~^1 [\s\S]" 1;
    }
    map "$request_method $status $upstream_http_content_range/$upstream_http_content_length" $object_size_bytes {
        default null;
        "~^GET 206 bytes \d+-\d+/(?<size_of_whole>\d+)/" $size_of_whole;
        "~^(?:GET|HEAD) 200 /(?<size_of_answer>\d+)$" $size_of_answer;
    }

    # The store decodes a parameter before it checks the signature: written as %78-download-id, a signed id would
    # still be valid, and missing here. No parameter of S3 has such a name, and no id such a value.
    map $args $disguised {
        default 0;
        "~(?:^|&)[^=&]*%" 1;
        "~(?:^|&)x-download-id=[^&]*%" 1;
    }

    # An anchor is created and then stays: through here nobody replaces or removes one, or lets the bucket do so (its
    # life cycle). What is not for reading, for creating an object or for creating the bucket is refused.
    map $bucket $of_anchors { default 0; "@anchors@" 1; }
    map $uri $of_object { default ""; "~^/[^/]+/[\s\S]" object; }
    map "$of_anchors $request_method $of_object$is_args$http_if_none_match" $against_anchors {
        default 0;
        "~^1 (?!(?:GET|HEAD) |PUT object\*$|PUT $)" 1;
    }

    log_format deliveries escape=json '{"ended_at":$msec,"request_id":"$request_id","duration_seconds":$request_time,'
        '"remote_address":"$remote_addr","method":"$request_method","bucket":"$bucket","key":"$object_key",'
        '"download_id":"$download_id","access_key_id":"$access_key_id","status":$status,'
        '"bytes_sent":$body_bytes_sent,"range":"$range","object_size_bytes":$object_size_bytes,'
        '"user_agent":"$user_agent"}';
    access_log logs/access.log deliveries;

    client_body_temp_path run/client_body;
    proxy_temp_path run/proxy;
    fastcgi_temp_path run/fastcgi;
    uwsgi_temp_path run/uwsgi;
    scgi_temp_path run/scgi;

    upstream store {
        server 127.0.0.1:@s3@;
        keepalive 16;
        keepalive_timeout 60s;  # below the store's 120 s, so that it is never the store that ends one in use
    }

    server {
        listen 127.0.0.1:@public@;
        server_tokens off;
        merge_slashes off;
        client_max_body_size 0;
        if ($disguised) { return 400; }
        if ($signed_twice) { return 400; }
        if ($against_anchors) { return 403; }

        location / {
            proxy_pass http://store;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;  # it is signed
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Real-IP $remote_addr;
            # The store believes these when it rebuilds what was signed: they are not for clients to set.
            proxy_set_header Forwarded "";
            proxy_set_header X-Forwarded-Host "";
            proxy_set_header X-Forwarded-Port "";
            proxy_set_header X-Forwarded-Prefix "";
            proxy_set_header X-Forwarded-Proto "";
            proxy_buffering off;
            proxy_buffer_size 256k;  # read and sent together: 64k takes a third more CPU, a page (the default) far more
            proxy_buffers 4 256k;  # not used, but a buffer may not be larger than half of them
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_read_timeout 300s;
            proxy_send_timeout 300s;
            proxy_next_upstream off;
        }
    }
@door@
}
"""

//! What is added to every request to Azure before it leaves: a checksum, and the signature by a shared key, which the SDK does not offer.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use azure_core::http::{
    Context, Request,
    headers::HeaderName,
    policies::{Policy, PolicyResult},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};

use crate::model::Timestamp;

/// The MD5 of a body: not for security, but the one checksum that every Blob service checks.
#[derive(Debug, Clone)]
pub(super) struct ContentMd5(String);

impl ContentMd5 {
    pub(super) fn of(body: &[u8]) -> ContentMd5 {
        ContentMd5(STANDARD.encode(Md5::digest(body)))
    }
}

/// Sends the checksum that the caller left in the context.
#[derive(Debug)]
pub(super) struct SendChecksum;

#[async_trait]
impl Policy for SendChecksum {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        if let Some(ContentMd5(text)) = ctx.value() {
            request.insert_header("content-md5", text.clone());
        }
        next[0].send(ctx, request, &next[1..]).await
    }
}

/// Signs with the key of a storage account.
pub(super) struct SharedKey {
    account: String,
    key: hmac::Key,
}

impl std::fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedKey({})", self.account)
    }
}

impl SharedKey {
    /// From the base64 that the portal shows.
    pub(super) fn parse(account: &str, key: &str) -> Option<SharedKey> {
        let key = STANDARD.decode(key.trim()).ok()?;
        Some(SharedKey { account: account.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, &key) })
    }

    fn signature(&self, request: &Request) -> String {
        STANDARD.encode(hmac::sign(&self.key, self.text(request).as_bytes()))
    }

    /// What is signed: method, eleven headers, the `x-ms-` headers, account and path, and the query.
    fn text(&self, request: &Request) -> String {
        const HEADERS: [&str; 11] = [
            "content-encoding",
            "content-language",
            "content-length",
            "content-md5",
            "content-type",
            "date",
            "if-modified-since",
            "if-match",
            "if-none-match",
            "if-unmodified-since",
            "range",
        ];
        let mut text = format!("{}\n", request.method());
        for name in HEADERS {
            let value = match name {
                "content-length" => request.body().len().filter(|n| *n > 0).map(|n| n.to_string()),
                _ => request.headers().get_optional_string(&HeaderName::from_static(name)),
            };
            text.push_str(&value.unwrap_or_default());
            text.push('\n');
        }
        let mut own: Vec<_> = request.headers().iter().filter(|(name, _)| name.as_str().starts_with("x-ms-")).collect();
        own.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in own {
            text.push_str(&format!("{}:{}\n", name.as_str(), value.as_str().trim()));
        }
        text.push_str(&format!("/{}{}", self.account, request.url().path()));
        let mut query: Vec<_> = request.url().query_pairs().map(|(name, value)| (name.to_lowercase(), value)).collect();
        query.sort();
        for (name, value) in query {
            text.push_str(&format!("\n{name}:{value}"));
        }
        text
    }
}

#[async_trait]
impl Policy for SharedKey {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.insert_header("x-ms-date", Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        let signature = self.signature(request);
        request.insert_header("authorization", format!("SharedKey {}:{signature}", self.account));
        next[0].send(ctx, request, &next[1..]).await
    }
}

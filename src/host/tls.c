/* SPDX-License-Identifier: MIT */
#include "host/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static bool add_alternative_name(X509 *certificate, const char *hostname)
{
    char value[300];
    snprintf(value, sizeof value, "DNS:%s", hostname);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, value);
    bool ok = extension && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return ok;
}

/* A certificate for hostname that is valid for ten years and signed by key itself. */
static X509 *self_signed(EVP_PKEY *key, const char *hostname)
{
    X509 *certificate = X509_new();
    if (!certificate)
        return NULL;
    X509_NAME *name = X509_get_subject_name(certificate);
    const unsigned char *text = (const unsigned char *)hostname;
    if (X509_set_version(certificate, 2) && ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -86400) &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), 315360000L) && X509_set_pubkey(certificate, key) &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text, -1, -1, 0) &&
        X509_set_issuer_name(certificate, name) && add_alternative_name(certificate, hostname) &&
        X509_sign(certificate, key, EVP_sha256()))
        return certificate;
    X509_free(certificate);
    return NULL;
}

static bool use_self_signed(SSL_CTX *context, const char *hostname)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? self_signed(key, hostname) : NULL;
    bool ok = certificate && SSL_CTX_use_certificate(context, certificate) == 1 &&
              SSL_CTX_use_PrivateKey(context, key) == 1;
    X509_free(certificate);
    EVP_PKEY_free(key);
    return ok;
}

SSL_CTX *host_tls_server(const char *certificate, const char *key, const char *hostname, char *error,
                         size_t size)
{
    const char *what = "a TLS context";
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context) {
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
        if (!certificate) {
            what = "a self-signed certificate";
            if (use_self_signed(context, hostname))
                return context;
        } else {
            what = certificate;
            if (SSL_CTX_use_certificate_chain_file(context, certificate) == 1) {
                what = key;
                if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 &&
                    SSL_CTX_check_private_key(context) == 1)
                    return context;
            }
        }
    }
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(error, size, "TLS: %s: %s", what, reason ? reason : "failed");
    SSL_CTX_free(context);
    return NULL;
}

SSL_CTX *host_tls_client(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return NULL;
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    return context;
}

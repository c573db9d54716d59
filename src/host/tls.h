/* SPDX-License-Identifier: MIT */
#pragma once

/* TLS settings of both directions (OpenSSL). Made at start, then shared by all workers. */

#include <openssl/ssl.h>
#include <stdbool.h>

/* A server's context with the given PEM files; with both NULL a self-signed certificate for hostname, made
 * in memory. NULL with a message in error (of size bytes). */
SSL_CTX *host_tls_server(const char *certificate, const char *key, const char *hostname, char *error,
                         size_t size);

/* A client's context that accepts any certificate, as opportunistic TLS does. NULL without memory. */
SSL_CTX *host_tls_client(void);

# SPDX-License-Identifier: MIT


def test_a_listed_address(mailerq):
    mailerq.dialogue("MAIL FROM:<offers@newsletter.example>    550 5.7.1")
    mailerq.dialogue("MAIL FROM:<editor@newsletter.example>    250")


def test_a_listed_domain_and_its_subdomains(mailerq):
    mailerq.dialogue("MAIL FROM:<a@spam.example>               550 5.7.1")
    mailerq.dialogue("MAIL FROM:<a@mx7.eu.SPAM.example>        550 5.7.1")
    mailerq.dialogue("MAIL FROM:<a@nospam.example>             250")


def test_bounces_are_taken(mailerq):
    mailerq.dialogue("MAIL FROM:<>                             250")


def test_a_listed_network(mailerq):
    mailerq.dialogue("(greeting)    421 4.7.0 Your network", address="127.66.1.2")
    mailerq.dialogue("(greeting)    220", address="127.67.1.2")

"""JAAS: what is understood, what is refused, and that no error shows a password."""

from __future__ import annotations

import pytest

from transforms.kafka import jaas

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
KERBEROS = "com.sun.security.auth.module.Krb5LoginModule"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f'{PLAIN} required username="u" password="p";',
            {"sasl.username": "u", "sasl.password": "p"},
        ),
        (
            f"{SCRAM}  REQUIRED\n username=u // who\n /* and */ password=p ;",
            {"sasl.username": "u", "sasl.password": "p"},
        ),
        (
            rf'{SCRAM} required username="a \"b\"; \\ = {{}}" password="";',
            {"sasl.username": 'a "b"; \\ = {}', "sasl.password": ""},
        ),
        (
            rf"{SCRAM} required username='u v' password='a\101\n;b';",
            {"sasl.username": "u v", "sasl.password": "aA\n;b"},
        ),
        (
            f'{OAUTH} required clientId="i" clientSecret="s" scope="a b" extension_x="1" '
            'extension_y="2";',
            {
                "sasl.oauthbearer.client.id": "i",
                "sasl.oauthbearer.client.secret": "s",
                "sasl.oauthbearer.scope": "a b",
                "sasl.oauthbearer.extensions": "x=1,y=2",
            },
        ),
        (
            f'{KERBEROS} required useKeyTab=true storeKey=true keyTab="/k" principal="u@R" '
            'serviceName="kafka";',
            {
                "sasl.kerberos.keytab": "/k",
                "sasl.kerberos.principal": "u@R",
                "sasl.kerberos.service.name": "kafka",
            },
        ),
        (f"{KERBEROS} required useTicketCache=true;", {}),
        (
            f'{KERBEROS} required useKeyTab=false keyTab="/k" ticketCache="/c";',
            {"sasl.kerberos.ticket.cache": "/c"},
        ),
    ],
)
def test_login_modules_become_properties(text, expected):
    assert jaas.understand(text).properties == expected
    in_file = f"Other {{ x.YLoginModule required; }};\n# here\n{jaas.SECTION} {{\n{text}\n}};"
    assert jaas.is_jaas_file(in_file)
    assert jaas.understand_file(in_file).properties == expected


@pytest.mark.parametrize("module", [PLAIN, SCRAM, OAUTH, KERBEROS])
def test_a_login_module_is_known_by_its_last_name(module):
    assert jaas.understand(f"{module} required;").module == module.rpartition(".")[2]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected one login module, got 0"),
        (f"{PLAIN} required; {PLAIN} required;", "expected one login module, got 2"),
        ("x.LdapLoginModule required;", "LdapLoginModule is not understood, only PlainLoginModule"),
        (f"{SCRAM} required tokenauth=true;", "ScramLoginModule: an option is not understood"),
        (f"{PLAIN} username=u;", f"expected 'required' after {PLAIN}"),
        (f"{PLAIN} required username=u password=hunter2", "at the end, after password"),
        (f"{PLAIN} required username=u password hunter2;", "expected '=' after password"),
        (f'{PLAIN} required password="hunter2;', "a quotation mark is not closed"),
        (f"{PLAIN} required password=;", "expected a value after password"),
        ("hunter2", "expected 'required' after a word that is not shown"),
        ("hunter2 required;", "a word that is not shown is not understood"),
        (f"{PLAIN} required password=my hunter2;", "expected '=' after a word that is not shown"),
        (f"{PLAIN} required password=my hunter2=x;", "an option is not understood (not shown)"),
        (f"{PLAIN} required hunter2", "expected '=' after a word that is not shown"),
    ],
)
def test_what_is_not_understood_is_named_and_no_password_shown(text, complaint):
    with pytest.raises(ValueError, match=r"expected|understood|closed") as caught:
        jaas.understand(text)
    assert complaint in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_without_the_clients_section_is_named():
    with pytest.raises(ValueError, match=r"no section KafkaClient; the first one is KafkaServer"):
        jaas.understand_file(f"KafkaServer {{ {PLAIN} required; }};")


@pytest.mark.parametrize("text", ["", "a=b", "a {", 'a="', "{ }", "sasl.mechanism: PLAIN\nx {"])
def test_properties_are_not_taken_for_jaas(text):
    assert jaas.is_jaas_file(text) == (text == "a {")

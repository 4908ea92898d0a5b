"""The guide for authors of rules says what is so."""

import re
from pathlib import Path

from outrider_rules import Catalogue, Field, RuleSource, load_rules
from outrider_rules.drafts import RULE_READERS
from outrider_rules.syntax import MODIFIERS, SYMBOLS, WORD_OPERATORS
from outrider_rules.transforms import TRANSFORMERS

GUIDE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()


def test_the_rule_in_the_guide_loads_and_holds() -> None:
    """The example is a rule that works."""
    match = re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert match is not None
    names = ("evt.type", "proc.name", "proc.cmdline", "proc.pname")
    fields = [Field(name, "str", lambda context, name=name: context.get(name)) for name in names]
    fields.append(Field("proc.aname", "list[str]", lambda context: context.get("proc.aname")))
    fields.append(
        Field("proc.aname", "str", lambda context, index: context["proc.aname"][int(index) - 1], indexed=True)
    )
    ruleset = load_rules([RuleSource("guide.yaml", match[1])], Catalogue(fields))
    context = {"evt.type": "execve", "proc.name": "sh", "proc.aname": ["php", "nginx"], "proc.cmdline": "sh -i"}
    (rule,) = ruleset.evaluate("execve", context)
    assert rule.render(context).endswith("grandparent=nginx)")
    assert not ruleset.evaluate("execve", {**context, "proc.aname": ["cron"]})


def test_the_guide_names_every_key_operator_and_transformer() -> None:
    """Nothing a rule may hold is left out."""
    words = {*RULE_READERS, *SYMBOLS, *WORD_OPERATORS, *TRANSFORMERS, *MODIFIERS}
    quoted = " ".join(re.findall(r"`([^`\n]+)`", GUIDE))
    assert not {word for word in words if word not in quoted}

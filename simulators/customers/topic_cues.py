"""Lexicons of the 14 topics: what a seller's words answer. Written and searched as those of :mod:`.cues`."""

# ruff: noqa: E501  A phrase is a line, however long.

from __future__ import annotations

from fogline.simulators.customers.cues import labelled

TOPIC_WORDS = labelled(
    {
        "identity": """
            who (?:i am|we are|is (?:on the line|calling|speaking)|i work for)
            (?:my|our) (?:name|firm|company name)
            @company is the name
            (?:calling|call) (?:for|from|on behalf of) @company
        """,
        "trust": """
            trust(?:worthy)?
            (?:be |are )?(?:careful|cautious|wary|suspicious)
            scams?
            fraud
            (?:check|verify) us
            proof
            legitimate
            genuine
        """,
        "cost": """
            (?:the |our )?(?:price|prices|cost|costs|fee|fees|money|budget|sum|charge)
            (?:expensive|cheap|cheaper|afford|affordable|pricey)
            (?:to )?(?:pay|paying|spend)
        """,
        "rules": """
            (?:contract|contracts|terms|conditions|(?<! i )notice|rules|commitment|obligation|small print|fine print)
            (?:cancel|cancellation|cancelling|terminate)
            tied(?: down)?
        """,
        "suitability": """
            (?:right|suitable|suited|useful|made|good) for (?:you|your|someone|somebody|people|the)
            (?:suits?|fits?|fit) you
            your (?:situation|case|circumstances)
            (?:does|do) not fit
            of no use
            made with ~ in mind
        """,
        "information": """
            (?:that |this |more |the |written |further )?information
            in writing
            on paper
            (?:the )?(?:documents|brochure|my notes|data sheet)
        """,
        "operation": """
            (?:the way it|how it|how this|how that) works?
            complicated
            (?:daily )?use is
            technical
            (?:to )?(?:handle it|set it up|install it|use it)
            special skills?
        """,
        "comprehension": """
            (?:was|is|were|be) not (?:very )?(?:clear|understandable)
            explain (?:it|that|this)
            (?:in other|simpler|simple|plain) words
            jargon
            confus(?:ed|ing)
        """,
        "comparison": """
            (?:to )?compar(?:e|ed|ing|ison)
            competitors?
            alternatives?
            elsewhere
            (?:other|another|present|current) (?:providers?|company|companies|suppliers?|offers?)
        """,
        "testing": """
            (?:a |the )?(?:test|trial|sample)
            (?:to )?(?:try|test) (?:it|this|that)
        """,
        "history": """
            (?:the )?last time
            in the past
            bad experiences?
            (?:earlier|previous|former) (?:calls?|contracts?|providers?|company|experiences?)
            went wrong
        """,
        "boundary": """
            (?:private|privacy)
            that line
            (?:you alone decide|your decision|your limits|i stop|stop calling|not call)
            (?:it is|that is) your (?:decision|choice)
        """,
        "progress": """
            how (?:much longer|long|far)
            (?:what )?(?:happens|comes) next
            (?:much longer|the road from here|remaining|waiting time)
        """,
        "detail": """
            (?:eye for )?(?:detail|details)
            (?:very )?(?:specific|precise|precisely)
            exactly this
            (?:in )?particular
        """,
    }
)
"""What an answer to an objection is about, near its words of acknowledgement."""

ANSWERS = labelled(
    {
        "cost": """
            (?:less|cheaper|no more) than (?:what )?you (?:now |currently )?(?:pay|spend)
            pays for itself
            no (?:hidden|extra|additional|further) (?:costs?|fees?|charges?)
        """,
        "rules": """
            (?:you (?:can|may)|you are free to) (?:\\w+ )?(?:cancel|leave|quit|withdraw|terminate)
            no (?:long term |long |minimum |fixed )?(?:contract|commitment|obligation|term)
            you are not tied
            you do not have to (?:commit|sign|decide)
        """,
        "testing": """
            (?:you can|you may|just|first) (?:\\w+ )?(?:try|test) (?:it|this|us)
            (?:try|test) (?:it|this|us) (?:out )?(?:first|for free|yourself|before|for yourself)
            (?:your )?money back
        """,
        "trust": """
            (?:you can|feel free to|you may|please) (?:\\w+ )?(?:check|verify|look) (?:us|me|this|our|that)
            (?:licensed|registered|certified|regulated) (?:by|with|company|insurer|provider|firm|in)
            (?:is )?not a scam
        """,
        "identity": """
            we are an? (?:\\w+ ){0,3}(?:company|firm|provider|school|gym|insurer|roaster|business)
            (?:@company|it) is an? (?:\\w+ ){0,3}(?:company|firm|provider|school|gym|insurer|roaster|business)
        """,
        "operation": """
            (?:it|this|that) (?:is|works) (?:\\w+ )?(?:simple|simply|easy|easily) ~
            easy to (?:use|set up|install|handle)
            no technical (?:skills?|knowledge)
            here is how (?:it|this|that) works
        """,
        "comparison": """
            (?:unlike|compared (?:to|with)) (?:other|most|your|the|what)
            (?:other|most) (?:providers|companies|competitors|offers|plans|gyms|schools|insurers|suppliers) (?:\\w+ )?(?:charge|only|do not|can not|make|have|tie|take|leave)
        """,
        "history": """
            (?:sorry|apologi\\w+) (?:about|for) (?:the|your|that|what) (?:\\w+ )?(?:last (?:time|call)|previous|earlier|bad experience|past|happened|experience)
        """,
        "boundary": """
            (?:i|we) (?:will not|will never|would never) (?:\\w+ )?(?:call|contact|bother|ask|share|pass|sell)
            (?:take|taken|remove|removed) (?:you|your number|your name) (?:off|from) (?:our|the|my) list
            (?:entirely |completely )?(?:up to you|your (?:choice|decision|call))
        """,
        "progress": """
            (?:takes?|done in|finished in|need) (?:only |just |about |less than |around )?(?:a few|a couple of|two|three|five|a|one|\\d+) (?:more )?(?:minutes?|moments?|seconds?)
        """,
        "detail": """
            to be (?:exact|precise|specific)
        """,
        "comprehension": """
            in other words
            put (?:simply|differently|another way)
            simply put
            in (?:simple|plain|short) (?:terms|words)
            let me (?:rephrase|put it|explain it|say it)
            what (?:i|this|that) means? is
        """,
        "information": """
            (?:i (?:will|can|could|am going to)|let me) (?:\\w+ )?(?:send|email|mail|text) you (?:the|all|more|some|an|a|everything|further|written)(?! link| code)
            everything in writing
        """,
    }
)
"""Answers that show by themselves what they are about."""

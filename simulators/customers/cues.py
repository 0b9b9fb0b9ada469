"""Lexicons that a seller's turn is read with. All are searched in plain text (:mod:`.plain_text`) unless said otherwise.

A pattern is a list of phrases, one a line: words between single spaces, marks being words of their own, short forms
written out ("i am", "do not"). ``~`` stands for any words of the same sentence, ``^`` for the start of a clause (after a mark).

Parts of the product card are replaced before acts are looked for, so that a card's words cannot be taken for the
seller's: ``@answer``, ``@fact``, ``@benefit``, ``@step``, ``@incentive``, ``@need``, ``@product``, ``@company``.
"""

# ruff: noqa: E501  A phrase is a line, however long.

from __future__ import annotations

import re


def lexicon(phrases: str, end: str = "(?= )") -> re.Pattern[str]:
    """Compile phrases into one pattern that starts and ends between words."""
    return re.compile(f" (?:{_alternatives(phrases)}){end}")


def labelled(phrases: dict[str, str]) -> re.Pattern[str]:
    """Compile lexicons into one pattern; the last group of a match is the label."""
    return re.compile(f" (?:{'|'.join(f'(?P<{label}>{_alternatives(text)})' for label, text in phrases.items())})(?= )")


def _alternatives(phrases: str) -> str:
    # Bounded, so that a turn without a full stop is not searched to its end from every word.
    return "|".join(
        line.strip().replace("^", r"(?<![\w@] )").replace("~", "[^.?!]{0,160}") for line in phrases.strip().splitlines()
    )


PRIORITY = (
    "goodbye",
    "guide_step",
    "ask_close",
    "confirm",
    "disclose_ai",
    "handle_objection",
    "offer_incentive",
    "verify_identity",
    "social_proof",
    "empathise",
    "probe_need",
    "give_fact",
    "pitch",
    "greet",
)
"""Which of several acts in a turn is the main one: what asks the customer for something comes before what is said to
it, and what leaves another mark in the reading (facts, topics) gives way to what does not."""

_EMOTION = "upset|frustrat|annoy|angry|anger|stress|tired|tiring|feel|hard on|difficult for you|unpleasant|disappoint"

ACT_CUES: dict[str, re.Pattern[str]] = {
    "greet": lexicon(
        """
        hello
        hi
        hey
        good (?:day|morning|afternoon|evening)(?! and goodbye)
        greetings
        my name is
        how are you(?: doing)?(?: today)?
        (?:this is|i am) (?:\\w+ )?(?:\\w+ )?(?:calling )?(?:from|with|at) @company
        (?:i am|my call|i|this call) (?:just |only )?(?:calling|call|phoning|ringing|comes|is)(?: you)?(?: today)? (?:from|for|on behalf of|about|because|regarding)
        calling (?:from|for|on behalf of)
        @company (?:here|speaking|calling|on the line)
        (?:thank you|thanks) for (?:picking up|taking (?:my|the|this) call|answering)
        do you have (?:a|one|two|five|some) (?:\\w+ )?(?:minutes?|moments?|time|seconds?)
        is this a good (?:time|moment)
        """
    ),
    "verify_identity": lexicon(
        """
        am i (?:speaking|talking) (?:to|with)
        (?:do i|that i) have the right (?:person|number|household)
        is this (?:mr|mrs|ms|miss|dr)
        is this (?:the )?(?:\\w+ )?(?:household|residence|owner|number|office|restaurant)(?: of)?
        are you (?:yourself )?(?:in charge|responsible|the (?:right )?(?:person|owner|one|manager|account|decision|contact|tenant)|mr|mrs|ms)
        (?:(?:may|could|can|might) i|i would like to|i am trying to) (?:please )?(?:speak|talk) (?:to|with)
        is that you \\?
        (?:is|are) (?:mr|mrs|ms|miss|dr)
        who (?:decides|makes (?:the|such|these) decisions?|is in charge|is responsible)
        (?:could|can|would|may|please)(?: i| you)?(?: please)?(?: just)? (?:confirm|verify|check|have|ask for|tell me)(?: that)? (?:it is you|i (?:am speaking|have the right)|you are (?:the|mr|mrs|ms)|your (?:full |first |last )?(?:name|address|identity|date of birth|postcode|zip code|date))
        (?:verify|confirm|check) (?:your|the) identity
        """
    ),
    "probe_need": lexicon(
        """
        ^(?:(?:and|so|but|well|then|now|okay) )?(?:what|which|how|where|when|who) (?:\\w+ ){0,3}(?:do|does|did|are|is|would|could|have|has|bothers?|matters?|keeps?|annoys?|happens|about|you|your|long) ~ \\?
        (?:how (?:often|much|many|satisfied|happy|long)|what kind|what sort) ~ \\?
        do you (?:currently|often|ever|have|use|usually|already|still|travel|feel|find|live|work|pay|drink|own|know|need|think|run|get|spend) ~ \\?
        are you (?:currently|happy|satisfied|using|looking|still|often|paying|already|happier|interested) ~ \\?
        have you (?:ever|thought|considered|tried|had|been) ~ \\?
        ^(?:would|is|does) (?:it|that|this|something) ~ (?:you|your) ~ \\?
        is your ~ \\?
        would you (?:like to (?:hear|know|learn|save|see)|say) ~ \\?
        (?:please )?(?:tell me|let me know|describe|i would like to (?:know|hear|learn|understand)|i would love to (?:know|hear|learn)|may i ask|can i ask|could i ask|i wonder|i am curious)(?: \\w+)? (?:about|more|a (?:little|bit)|how|what|which|whether|if) (?!(?:once|when)\\b)~ (?:you|your|it|@need)
        """
    ),
    "pitch": lexicon(
        """
        @benefit
        imagine
        picture (?:an?|this|your|yourself)
        (?:our|this|the) (?:\\w+ ){0,2}(?:product|plan|offer|service|course|membership|policy|insurance|tariff|package|solution|line|box|system|ads?|advertising) (?:\\w+ )?(?:gives?|lets?|helps?|makes?|offers?|saves?|includes?|comes|is (?:perfect|ideal|great|made|designed|made for)|means|brings?|keeps?|can|will|would)
        @product (?:\\w+ )?(?:gives?|lets?|helps?|makes?|offers?|saves?|includes?|comes|is|means|brings?|keeps?|can|will|would|has|solves?|takes?)
        (?:we|@company) (?:now |currently |can |also |just |really |have )*(?:offers?|provides?|help|helps|give|gives|launched|introduced|developed|built|specialis\\w+|specializ\\w+|have a|has a)
        (?:perfect|ideal|great|designed|made|built|suited|tailored) for (?:you|people|someone|anyone|families|households|businesses|restaurants|offices)
        with (?:us|@product|@company|our|this) (?:\\w+ ){0,3}you (?:will|would|can|could|get|have|save|pay|never|no longer|always)
        you (?:will|would|can|could) (?:\\w+ )?(?:save|enjoy|benefit|love|gain|get rid|never have to|no longer|finally)
        ^you (?:save|gain|benefit|no longer)
        (?:it|that|this|which|we) (?:helps?|lets?|allows?|enables?|gives?) you
        saves? you
        (?:the )?(?:best|great|nice|good) (?:thing|part|news) is
        (?:could|can|will|would) (?:\\w+ )?(?:bring down|save|cut|lower|reduce|improve|boost|free up)
        so you (?:no longer|never|can|will|do not) ~
        no more
        """
    ),
    "give_fact": lexicon("@fact"),
    "handle_objection": lexicon(
        f"""
        @answer
        i (?:\\w+ )?(?:(?:understand|see|appreciate|respect|notice|realise|realize) (?:your|the|why|where|what|that|you)|hear (?:your|you|what)|get (?:your|why|where|that))(?! (?:feel))(?!~ (?:{_EMOTION}))
        (?:that is|it is|what|this is|that) (?:an?|only) (?:\\w+ )?(?:fair|good|great|valid|reasonable|legitimate|excellent|important|understandable|natural) (?:point|question|concern|worry|objection|to)
        (?:a )?fair (?:enough|point|question|concern|worry)
        it is a fair (?:worry|question|point|concern)
        (?:very )?(?:good|great|excellent) (?:question|point)
        is (?:only|quite|perfectly|very) (?:reasonable|natural|understandable|fair|sensible|right)
        it is (?:entirely |completely )?your (?:decision|choice|call)
        i should have (?:\\w+ )?(?:said|told|mentioned|explained)
        good that you (?:mention|ask|say|bring)
        ^you (?:are (?:quite |absolutely |completely )?right|raise|mention|asked?|wonder|worry|find it|want to know|would like to know)(?! of)
        your (?:\\w+ )?(?:concern|worry|worries|doubts?|question|hesitation|limits|scepticism|skepticism)
        (?:i (?:can )?see|i take|i get) (?:your|the|that) point
        point taken
        (?:that|it|this) is (?:not an?|no) (?:\\w+ )?(?:problem|issue|trouble)
        (?:that|it|this) (?:\\w+ )?makes (?:\\w+ )?sense
        let me (?:explain|clarify|address|reassure|answer|be clear|clear that up|say it|put it|rephrase)
        (?:to )?answer(?:ing)? (?:your|that|you)
        ^(?:regarding|concerning|as for|as to|with regard to|when it comes to|about) (?:the|your|that|this|our)
        (?:no need to worry|do not worry|rest assured|not to worry|you need not worry)
        it (?:is|makes) (?:\\w+ )?(?:natural|normal|understandable|right|sensible|wise|good|fair|reasonable|sense|okay|only natural) (?:to|that|if)
        ^(?:caution is|trust has to|seeing is|trying it out is|whether it suits|how it works|how it goes on|given what|compared with|to be exact|in other words|my fault|sorry for the)
        i (?:respect|agree|admit|hear you|am aware)
        i know (?:it|this|that|change|\\w+) (?:can|may|might|is|sounds)
        let me be (?:\\w+ )?(?:precise|honest|clear|frank|open|direct)
        you are (?:\\w+ )?(?:worried|concerned|unsure|hesitant|afraid|sceptical|skeptical)
        ^we do not (?:do|charge|ask|share|sell|require|tie)
        ^(?:no|yes) , (?:you(?! are)|it|there|we|that|they|nothing|nobody)
        (?:i would|i will) rather (?:look|say|tell|show)
        """
    ),
    "empathise": lexicon(
        f"""
        (?:i am|we are) (?:\\w+ )?sorry(?! for the jargon)
        (?:so|very|really) sorry
        sorry (?:to hear|about|for|that)(?! the jargon)
        (?:i|my|we|our) (?:\\w+ )?apologi[sz]e?(?:s|es)?
        (?:that|this|it) (?:must|sounds?|can|has to|feels?) (?:be |have been )?(?:\\w+ )?(?:{_EMOTION}|hard|difficult|awful|rough|tough|exhausting)\\w*
        (?:i )?(?:\\w+ )?(?:understand|see|know|imagine|appreciate|get)(?: exactly)? (?:how|why) (?:you|this|that|it) (?:feels?|must|annoys|upsets|might|would)
        i (?:\\w+ )?(?:understand|see|imagine|know|appreciate) ~ (?:{_EMOTION})\\w*
        i (?:\\w+ )?(?:understand|hear you|get it|get that)(?= (?:[.,;!]|but|completely|and) )
        you have every right to
        no pressure
        sounds like an? (?:nightmare|pain|lot|hassle|headache|mess)
        oh no
        (?:take your time|take all the time)
        (?:i )?(?:do not|would not) want to (?:bother|disturb|pressure|annoy|push)
        (?:i can )?(?:only )?imagine how ~ (?:you|that|this)
        """
    ),
    "social_proof": lexicon(
        """
        (?:many|most|several|lots|thousands|hundreds|plenty|some|a lot|dozens|one|\\d+) of (?:our |your |the )?(?:\\w+ )?(?:customers|clients|people|households|families|restaurants|restaurateurs|members|neighbou?rs|learners|students|offices|owners|users|travellers)
        (?<! how )(?:many|most|other|several|all|countless|happy|existing) (?:\\w+ )?(?:customers|clients|people|households|families|restaurants|members|neighbou?rs|learners|students|offices|homeowners|owners|users|travellers)(?: \\w+)?(?: like you| have| love| use| say| are| tell| told| already| chose| who| report| trust| recommend| joined| switched)
        (?:customers|people|families|restaurants|offices|clients|others|someone|owners) (?:just )?like you
        (?:our|your) (?:\\w+ )?(?:customers|members|clients|learners|neighbou?rs) (?:\\w+ )?(?:say|love|tell|told|report|rate|recommend|use|are|have|often)
        a (?:customer|client|neighbour|neighbor|member|colleague|friend|family|restaurant|user) (?:in|from|of|near|around|next) (?:\\w+ ){1,4}(?:told|said|uses?|saves?|has|is|switched|joined|saw|chose)
        (?:ask|talk to) your (?:\\w+ )?(?:colleagues|neighbou?rs|friends)
        \\w+ of your (?:\\w+ )?(?:neighbou?rs|colleagues|friends|competitors)
        recommend(?:ed|s)? (?:us|it|by|this)
        (?:has|have) been (?:an? )?(?:\\w+ )?customers?
        (?:customer |online |good |great |excellent )?reviews
        (?:rated|voted)
        (?:very )?popular (?:with|among|in)
        word of mouth
        people (?:from|in|at|around) your
        (?:half|most|much) of your (?:\\w+ )?(?:street|village|town|area|building|colleagues|friends)
        """
    ),
    "offer_incentive": lexicon(
        """
        @incentive
        as an? (?:\\w+ )?(?:thank you|welcome gift|welcome bonus|bonus|extra|gift)
        (?:welcome|free|special|small|little) (?:gift|bonus)
        (?:i|we) (?:will|can|could|would|am able to|am allowed to|are able to|may)(?: also| even| happily)? (?:add|include|throw in|give you|offer you|waive|grant|take) ~(?:free|discount|extra|bonus|gift|voucher|on top|off|waived|cost|fee|charge)
        (?:special|exclusive|limited) (?:offer|discount|deal|price|bonus)
        (?:\\d+|an extra|a further|another) (?:% |percent |euros |dollars |pounds )(?:off|discount)
        (?:a )?(?:voucher|discount) (?:for|on|of|if|when|as)
        on top of (?:that|this|it|the)
        sweeten the deal
        if you (?:sign|start|join|decide|say yes|switch|order|book) ~(?:get|receive|add|include|free|extra)
        for you if you (?:sign|start|join|decide|say yes|switch|order|book)
        """
    ),
    "ask_close": lexicon(
        """
        (?:would|do) you (?:like|want|prefer) (?:for )?(?:me|us) (?:to )?(?:set|sign|go ahead|start|proceed|get|book|order|activate|arrange|register|reserve|enrol|enroll|put|send|switch|schedule|prepare|begin)
        (?:would|do) you (?:like|want|care) to (?:\\w+ )?(?:try|sign|go ahead|start|proceed|order|book|get|give it|join|take|buy|accept|set|move forward|switch|subscribe|register|enrol|enroll|begin|reserve|become|test it|be (?:covered|insured|connected|part))
        (?:would you be|are you) (?:\\w+ )?(?:willing|open|happy|interested|prepared|okay|comfortable) (?:to|in|with) (?:\\w+ )?(?:try|trying|give|giving|sign|signing|start|starting|go|going|take|taking|get|getting|join|joining|mov|switch|switching|set|setting|proceed|proceeding|subscrib)\\w*
        (?:shall|should|can|could|may) (?:we|i) (?:\\w+ )?(?:go ahead|set (?:it|this|that|everything|you)|set up|get (?:you )?(?:started|going|set)|get started|start|sign you|book|put you|proceed|arrange|reserve|activate|order|enrol|enroll|register|count you in|move forward|finali[sz]e|do it|begin|switch you|sign up)
        shall (?:we|i)(?! (?:talk|speak|call|say|explain|tell|repeat|go over|look|compare|wait|check|see) )
        (?:would|does|do|is) ~ (?:suit|work|be good|be convenient)(?: better)? (?:for )?you~ \\?
        when (?:would|can|could|should|shall) (?:you|we) (?:like to |want to )?(?:start|begin)
        are you ready (?:to|for)
        ready to (?:get|go|sign|start|join|give|proceed)
        do we have a deal
        ^want me to
        what do you think \\?
        (?:would|will) you (?:sign|take it|join|buy|order|accept|switch|agree)
        (?:is it|is that|it is|so it is) a (?:deal|yes)
        (?:what do you say|how about it|are you in|deal) \\?
        how about (?:we|you|getting|starting|signing|giving|trying) ~ \\?
        let us (?:\\w+ )?(?:get (?:you )?(?:started|signed|set)|sign you|set (?:it|this|you)|do it|go ahead|proceed|book)
        why (?:not|do not we|do not you) (?:\\w+ )?(?:book|arrange|make|try|start|sign|give|go|set|join|take|get) ~ \\?
        (?:if you (?:say yes|agree|sign|are happy)) ~ (?:\\?|set|start|send|go)
        (?:i would love to|i can|i could|i will) (?:get you|sign you|set you|set it|set that|set this) (?:started|up) ~ (?:\\?|now|today|right away)
        would (?:you|it) ~ (?:if i|if we|that i|for me to) ~(?:set|sign|book|order|register|start) ~ \\?
        """
    ),
    "guide_step": lexicon(
        """
        @step
        (?:^(?:and |and then )?(?:first|next|now|then|finally|second|secondly|third|lastly|after that|okay|great|perfect|once (?:you are there|that is done|done)|so)|please|just|simply)(?: ,)? (?:please )?(?:just )?(?:go ahead and )?(?:open|click|tap|press|enter|type|fill|go to|reply|scan|choose|select|pick|log in|follow|upload|download|sign the|sign here|write down|install|visit|insert|restart|switch on|copy)
        (?:could|can|would|will) you (?:please )?(?:just )?(?:now )?(?:open|click|tap|press|enter|type|fill|go to|scan|choose|select|pick|log in|follow|upload|download|install|insert|restart)
        (?:i need|i would ask|i want|i ask|i would like) you (?:to )?(?:now )?(?:open|click|tap|press|enter|type|fill|go|reply|scan|choose|select|pick|log|follow|upload|download)
        (?:all )?you (?:only |just |will |now |simply )?(?:have|need) to (?:do is |do now is )?(?:open|click|tap|press|enter|type|fill|go|reply|scan|choose|select|pick|log|follow|upload|download|sign)
        (?:all )?you (?:only |just )?(?:have|need) to do (?:now )?is
        the (?:first|next|second|third|last|final|only remaining) (?:step|thing|move)(?: to do| for you)? (?:is|would be|will be)
        (?:^(?:then )?|and )(?:open|click|tap|press|enter|type|fill in|fill out|scan|choose|select|pick|log|check|reply|upload|download) (?:the|your|our|an?|on|in|it|one|this|that|yes|with|to)
        (?:for|on to) the (?:first|next|second|third|last|final) step
        step (?:one|two|three|1|2|3) (?:is|:|,)
        have a look at the (?:form|page|message|email|mail|text|link)
        (?:i will|let me) (?:walk|guide|talk|lead|take) you through
        (?:let me know|tell me) (?:once|when|as soon as) (?:it|that|you|everything) (?:is|have|are|has|worked)
        """
    ),
    "confirm": lexicon(
        """
        (?:has|have|did|is|are|was|were|does) (?:everything|it|that|this|the (?:\\w+ )?(?:step|order|link|code|form|confirmation|email|mail|message|page|registration|test|picture|photo)|all(?: of it)?) (?:\\w+ ){0,5}?(?:work|worked|works|go through|gone through|went through|done|complete|completed|set|finished|sorted|in place|arrive|arrived|open|opened|confirmed|show|successful) ~ ?\\?
        (?:have|did|were) you (?:\\w+ )?(?:done|do (?:it|that)|finish\\w*|manage\\w*|complete\\w*|receiv\\w*|got|get|click\\w*|open\\w*|enter\\w*|able|submit\\w*|send|sent|sign|signed|fill\\w*|confirm\\w*|see|choose|chosen|pick\\w*|tap\\w*) ~ ?\\?
        (?:has|have|is|are|was|were) (?:the |your )?(?:\\w+ ){1,3}(?:been )?(?:accepted|live|activated|updated|saved|visible|through)(?: now| already)? \\?
        (?:can|do|could) you (?:now )?see ~(?:confirmation|message|page|screen|code|number|email) ~ ?\\?
        (?:can|could|would|please) (?:you )?(?:please |just )?(?:confirm|check|verify|tell me)(?: for me)? (?:that |whether |if )?(?:everything|all|the|a|it (?:has|worked|went|is|says|did)|you (?:have|can|did|could)|this|that) ~(?:work|went|gone|done|complete|arriv|through|set|finish|receiv|confirm|fine|right|order|see)\\w*
        (?:just )?to (?:make sure|be sure|double check|confirm) ~ \\?
        is there anything still (?:open|missing|to do|left)
        (?:all|everything) (?:done|set|clear|sorted|okay) \\?
        did (?:it|that|everything) (?:all )?work(?: out)? ~ ?\\?
        """
    ),
    "goodbye": lexicon(
        """
        good ?bye
        bye(?: bye)?
        have an? (?:\\w+ )?(?:nice|great|good|lovely|wonderful|pleasant|beautiful|fantastic) (?:day|evening|afternoon|weekend|morning|week|one|night|rest)
        (?:enjoy|all the best for) (?:the rest of )?your (?:day|evening|afternoon|weekend)
        take care(?! of)
        (?:i will|let me) (?:let you go|leave you (?:in peace|alone|be|to it)|hang up|end (?:the|this) call)
        (?:i will|i am going to) not (?:take|keep|bother|disturb) (?:up )?(?:you|any more|your)(?: \\w+)* (?:time|longer|further|any more) (?:\\.|and|, goodbye|, bye)
        (?:talk|speak) to you (?:soon|later|then|tomorrow|next)
        farewell
        thank(?:s| you)(?: \\w+){0,2} for your time(?: today)?(?: [.!])*(?= \\Z)
        """
    ),
}
"""Per act, what shows it. ``disclose_ai`` is read by :data:`ADMITS`, facts and steps by the card's own cues too."""

SMALL_TALK = lexicon(
    """
    how are you(?: doing)?(?: today)?~ \\?
    do you have (?:a|one|two|five|some) (?:\\w+ )?(?:minutes?|moments?|time|seconds?)~ \\?
    (?:can|do) you hear me~ \\?
    is this a good (?:time|moment)~ \\?
    (?:do you have|are there|any) (?:any )?(?:other |more |further )?questions~ \\?
    """
)
"""Questions that ask for no need."""

INSTRUCTS = lexicon(
    """
    please
    ^(?:just|simply|now|next|then|first|finally|begin|start|to start with)
    (?:could|can|would|will) you
    you (?:can|should|need to|have to|only|just|may|might|will)
    (?:i need|i would ask|i ask|i want|i would like) you
    (?:let us|go ahead|go on|when you are ready|all you|your turn|the step|step)
    (?:^|and |you |to |just |now )(?:open|click|tap|press|enter|type|fill|go|reply|scan|choose|select|pick|log|follow|check|upload|download|sign|send|name|tell|book|take|answer|write|put|measure|give|confirm|copy|complete|decide|finish|add)
    """
)
"""In a sentence with a cue of a step, shows that the customer is to do it."""

REQUESTS = lexicon("(?:could|can|would|will|may i ask) you")
"""A question that asks for something to be done."""

PROSPECT = lexicon(
    """
    you (?:can|could|will|would|may|might) (?:\\w+ )?(?:be able|get|have|stream|travel|work|see|find|keep|do)
    your (?:\\w+ )?\\w+ (?:will|can|could|would)
    """
)
"""What the customer could have, in a turn that shows nothing else."""

"""A person asks for a human in their own words: heard without a model, and before any is asked.

Precise rather than complete: a sentence counts only if all of it is the request, once greetings and
politeness are taken off. What is missed here the model may still hear and pass on with its tool.
Sentences are compared in lower case, without accents, apostrophes and punctuation.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

MOST_CHARACTERS = 2000
MOST_SENTENCES = 30
SENTENCE_CHARACTERS = 200

_SENTENCE = re.compile(r"[.!?…\n;¡¿。？！]+")
_THAI = re.compile("[\u0e00-\u0e7f]")
_APOSTROPHES = re.compile("['’`´ʼ]")
_MARKS = re.compile("[\u0300-\u036f]+")  # of Latin; Thai vowels stay
_OTHER = re.compile("[^\\w\u0e00-\u0e7f]+|_+")
_LETTERS = str.maketrans({"đ": "d", "ø": "o", "ł": "l", "ß": "ss", "œ": "oe", "æ": "ae"})

_POLITE = """
    please|pls|plz|thanks|thank you|thx|hi|hello|hey|hi there|hello there|ok|okay|sorry|yes|now
    |right now|asap|immediately|urgently|urgent|today|good morning|good afternoon|good evening|just
    |bitte|danke|hallo|guten tag|guten morgen|guten abend|moin|jetzt|sofort|ja|dringend|endlich
    |bonjour|bonsoir|salut|merci|svp|stp|sil vous plait|sil te plait|maintenant|oui|tout de suite
    |urgent|vite|merci davance
    |hola|buenos dias|buenas tardes|buenas noches|buenas|por favor|gracias|ahora|si
    |ya|ya mismo|ahora mismo|urgente|favor
    |ola|oi|bom dia|boa tarde|boa noite|obrigado|obrigada|agora|sim|pfv
    |por gentileza|agora mesmo
    |xin chao|chao|chao shop|chao ban|shop oi|ad oi|admin oi|alo|cam on|xin cam on|lam on|nhe|a|voi
    |di|ngay|ngay bay gio|vui long
    |สวัสดี|สวัสดีครับ|สวัสดีค่ะ|สวัสดีคะ|ขอโทษ|ขอโทษครับ|ขอโทษค่ะ|ครับ|ค่ะ|คะ|หน่อย|หน่อยครับ|หน่อยค่ะ|ได้ไหม
"""
_EN_KIND = "(?:real|live|actual|human|proper) "
_EN_CLEAR = (
    f"(?:an? |the |any |some )?(?:{_EN_KIND})?(?:human(?: being)?|agent|operator|representative"
    f"|rep|support agent|service agent|customer service (?:agent|rep|representative)"
    f"|human support)|(?:an? |any )?{_EN_KIND}(?:person|people|someone|somebody)"
)
_EN_SOMEBODY = (
    f"(?:{_EN_CLEAR}|an? person|someone|somebody|people"
    "|an? (?:member of (?:the )?staff|staff member|team member|employee|colleague|manager"
    "|supervisor|advisor|adviser|consultant)|the (?:manager|owner|team|staff|boss|supervisor)"
    "|(?:your |the )?(?:customer )?(?:support|service|care)(?: team)?"
    "|(?:your |the )?(?:sales|management)(?: team| department)?"
    "|your (?:staff|team|manager|boss|supervisor|owner)"
    "|person|(?:someone|somebody|anyone|anybody) (?:real|human)|anyone|anybody)"
)
_EN_DESK = f"(?:{_EN_CLEAR}|an? person|someone|somebody|customer (?:service|support|care))"
_EN_OURS = "(?: (?:about|regarding|because of) (?:my|our|this) .*)?"
_EN_TAIL = (
    "(?: (?:about|regarding|concerning|because|since|instead|not (?:to )?an? (?:ro)?bot"
    "|rather than|from (?:your|the) (?:team|company|staff|bakery|shop|store)|who can help"
    "|(?:in|at|from) (?:your )?(?:customer )?(?:service|support|sales)"
    "|in person|here|there|directly|quickly)(?: .*)?)?"
)
_EN_TAIL_OF_NEED = (
    "(?: (?:instead|not (?:to )?an? (?:ro)?bot|who can help|from (?:your|the) (?:team|company|staff"
    "|bakery|shop|store)|in person|here|there|directly|quickly|to (?:help|answer|assist|call) me"
    "|because .*|since .*|rather than .*))?"
)
_EN_LEAD = (
    "(?:(?:i )?(?:would (?:really )?(?:like|prefer|love) to|(?:really )?(?:want|need|wish"
    "|have|prefer)"
    " to|d (?:like|prefer) to|wanna|gotta|must)|(?:i )?(?:am|m) (?:asking|trying|waiting) to"
    "|id (?:(?:really )?(?:like|prefer|love) to|rather)"
    "|i would rather|(?:can|could|may|might) (?:i|we)|(?:can|could|would) you(?: please)? let me"
    "|let me|how (?:can|do|could) i|is it possible to|would it be possible to"
    "|is there (?:any|a) way (?:to|i can)"
    "|im trying to|i am trying to)"
)
_EN_TALK = (
    "(?:(?:please )?(?:talk|speak|chat)(?: directly)? (?:to|with)"
    "|(?:be|get) (?:connected|transferred|put through|passed on) to|get (?:through )?to"
    "|complain to)"
)
_EN_REACH = "(?:contact|reach|get (?:a )?(?:hold of|in touch with))"
_EN_BRING = (
    "(?:(?:please )?(?:connect|transfer|put|pass|forward|hand|switch|direct) (?:me|us)"
    "(?: over| through| on)? (?:to|with)|(?:please )?(?:get|give|send|find) me|(?:please )?call)"
)
_EN_NEED = "(?:i )?(?:really )?(?:want|need|demand|would like|d like|prefer)|id (?:like|prefer)"
_EN_HELP = (
    f"(?:(?:some )?(?:human|live) (?:help|support|assistance)|(?:some )?help from {_EN_DESK})"
)
_EN_AROUND = "(?: (?:here|there|around|available|online|on (?:this|the) chat))?"

_DE_CLEAR = (
    "(?:(?:mit )?(?:eine[mnr]? )?"
    "(?:(?:echte|richtige|lebende|lebendige|wirkliche|menschliche|reale)[mnr]? )?"
    "(?:mensch(?:en)?|mitarbeiter(?:in)?s?|kundenberater(?:in)?|sachbearbeiter(?:in)?"
    "|berater(?:in)?"
    "|ansprechpartner(?:in)?|support ?mitarbeiter(?:in)?|kundendienst ?mitarbeiter(?:in)?)"
    "|(?:mit )?(?:eine[rn]? )?(?:echten?|richtigen?|realen?) person)"
)
_DE_OWN = "(?:ihre|eure|deine|eine)[mnr]?|ihrem|eurem|deinem|dem|der|den"
_DE_BOT = "(?:(?:ro|chat ?)?bot|roboter|computer|maschine|automaten|ki)"
_DE_AT = "(?: (?:hier|da|dort|im chat|am apparat|erreichbar|verfue?gbar))?"
_DE_SOMEBODY = (
    f"(?:{_DE_CLEAR}|(?:mit )?jemande[mn]|mit (?:jemand|einer person|jemand(?:em)? (?:echte[mns]"
    f"|richtige[mns])|(?:{_DE_OWN}) (?:kundenservice|kundendienst|support|chef|chefin|team"
    "|vorgesetzten?|geschaftsfuhrer(?:in)?|inhaber(?:in)?|filialleiter(?:in)?)|(?:ihre|eure"
    "|deine)[mr] kolleg(?:en|in)))"
)
_DE_TAIL = "(?: (?:wegen|uber|zu|aus|statt|und nicht|anstatt|von) .*)?"

_FR_CLEAR = (
    "(?:(?:a |avec )?(?:un |une |l)?(?:vrai |vraie |veritable )?(?:humain(?:e)?|etre humain"
    "|conseiller|conseillere|agent|operateur|operatrice)(?: humain| en ligne)?"
    "|(?:a |avec )?une (?:vraie|veritable) personne|(?:a |avec )?une personne (?:reelle|humaine))"
)
_FR_CHIEF = "responsable|patron|patronne|gerant|gerante|directeur|directrice|chef|manager|superieur"
_FR_SOMEBODY = (
    f"(?:{_FR_CLEAR}|(?:a |avec )?(?:quelquun|une personne|un responsable|un employe|un collegue"
    "|un collaborateur|un membre de (?:votre|l) ?equipe|le service client|votre (?:equipe|service"
    f" client)|(?:le |la |votre |un )(?:{_FR_CHIEF}))(?: de reel| de vrai)?"
    f"|au (?:{_FR_CHIEF}|service client|sav))"
)
_FR_BOT = "(?:un |une |le |ce |votre )?(?:(?:ro|chat ?)?bot|machine|ia|ordinateur)"
_FR_WISH = (
    "je (?:voudrais|veux|souhaite|souhaiterais|prefere|prefererais|dois|peux)|jaimerais"
    "|jaimerais mieux|jai besoin de"
)
_FR_TAIL = "(?: (?:au sujet|a propos|concernant|pour|de votre|plutot|et pas|car|parce) .*)?"

_ES_CLEAR = (
    "(?:(?:con |a )?(?:un |una |el |la |algun )?(?:ser )?(?:humano|humana|agente|operador|operadora"
    "|asesor|asesora|representante|ejecutivo|ejecutiva)(?: humano| humana| real)?"
    "|(?:con |a )?una persona (?:real|de verdad|humana)|persona real)"
)
_ES_SOMEBODY = (
    f"(?:{_ES_CLEAR}|(?:con |a )(?:alguien|una persona|un empleado|una empleada|el encargado"
    "|la encargada|un encargado|el gerente|un gerente|atencion al cliente|servicio al cliente"
    "|el servicio al cliente|soporte|ventas|(?:el|la|un|una|su|tu) (?:jefe|jefa|supervisor"
    "|supervisora"
    "|responsable|dueno|duena|encargado|encargada|gerente)"
    "|tu equipo|su equipo)(?: real| de verdad| de su equipo| del equipo)?)"
)
_ES_BY = "(?:alguien|una persona(?: real| de verdad)?|un humano|un agente|un asesor|un ser humano)"
_ES_BOT = "(?:un |una |el |este |con )?(?:(?:ro|chat ?)?bot|maquina|ia|computadora|contestadora)"
_ES_TAIL = "(?: (?:sobre|acerca|por|porque|para|de su|en vez|y no) .*)?"

_PT_CLEAR = (
    "(?:(?:com |a )?(?:um |uma |o |a |algum )?(?:ser )?(?:humano|humana|atendente|agente|operador"
    "|operadora|consultor|consultora|representante)(?: humano| humana| real)?"
    "|(?:com |a )?uma pessoa (?:real|de verdade|humana)|pessoa real)"
)
_PT_SOMEBODY = (
    f"(?:{_PT_CLEAR}|(?:com |a )(?:alguem|uma pessoa|um funcionario|uma funcionaria|um colaborador"
    "|(?:o |um |seu |o seu )?(?:gerente|responsavel|supervisor|chefe|dono|vendedor)|a dona"
    "|a gerente"
    "|o suporte|o atendimento|o sac|(?:a |sua |a sua |vossa |a vossa )(?:equipe|equipa))"
    "(?: real| de verdade)?(?: d[aeo] (?:sua |vossa )?(?:equipe|equipa|suporte|loja|empresa"
    "|atendimento))?)"
)
_PT_BY = "(?:uma pessoa(?: real| de verdade)?|um humano|um atendente|alguem|um ser humano)"
_PT_BOT = "(?:um |uma |o |esse |este )?(?:robo|robot|(?:chat ?)?bot|maquina|ia|computador)"
_PT_TAIL = "(?: (?:sobre|por|porque|para|da sua|em vez|e nao) .*)?"

_VI_SOMEBODY = (
    "(?:nguoi that|nguoi|con nguoi|nhan vien(?: ho tro| tu van| cham soc khach hang| cskh| that"
    "| truc)?|tu van vien|tong dai vien|quan tri vien|admin|chu shop|quan ly|ai do)"
)
_VI_STAFF = (
    "(?:(?:mot |ban |1 )?(?:nhan vien(?: ho tro| tu van| cham soc khach hang| cskh| truc)?"
    "|tu van vien|tong dai vien|quan tri vien|admin|quan ly|nguoi that|bo phan (?:cskh|ho tro"
    "|cham soc khach hang)))"
)
_VI_ME = "(?:toi|minh|em|anh|chi|tui)"
_VI_FAVOUR = f"(?: (?:giup|gium|ho|duoc khong|dc khong|dc k|duoc ko|voi)(?: {_VI_ME})?)*"
_VI_I = "(?:toi|minh|em|anh|chi|tui|ban|cho|cho toi|cho minh|cho em|cho anh|cho chi)"
_VI_TAIL = "(?: (?:ve|vi|de|cua shop|that|truc tiep)(?: .*)?| duoc khong| dc khong| duoc k| khong)?"

_TH_I = "(?:ผม|ฉัน|ดิฉัน|หนู|เรา)?"
_TH_WANT = "(?:ขอ|อยาก|ต้องการ|อยากจะ|ขออนุญาต|ช่วยให้|ขอให้)"
_TH_SOMEBODY = "(?:คน|คนจริง|คนจริงๆ|มนุษย์|เจ้าหน้าที่|แอดมิน|พนักงาน|ผู้จัดการ|พนักงานจริง|เจ้าของร้าน|ทีมงาน)"
_TH_STAFF = "(?:คนจริงๆ?|มนุษย์|เจ้าหน้าที่|แอดมิน|พนักงาน|ทีมงาน)"
_TH_END = "(?:หน่อย|ด้วย|ได้ไหม|ได้มั้ย|ได้มั๊ย|ครับ|ค่ะ|คะ|คับ|นะ|จ้า|ที|เลย)*"

SENTENCES: Mapping[str, Sequence[str]] = {
    "en": (
        _EN_CLEAR,
        f"(?:{_EN_LEAD} )?{_EN_TALK} {_EN_SOMEBODY}{_EN_TAIL}",
        f"(?:{_EN_LEAD} )?{_EN_REACH} {_EN_DESK}{_EN_OURS}",
        f"(?:(?:can|could|may) (?:i|we)|let me) (?:please )?(?:get|have) (?:{_EN_CLEAR}|{_EN_HELP})"
        f"{_EN_OURS}",
        f"(?:{_EN_NEED}) {_EN_HELP}{_EN_OURS}",
        _EN_HELP,
        "customer (?:service|support|care)|live chat",
        f"(?:is|are) there (?:{_EN_CLEAR}|any (?:real )?(?:humans|people)"
        f"|(?:someone|somebody|anyone|anybody) real){_EN_AROUND}",
        f"(?:any (?:humans?|real (?:person|people))|anyone real|anybody real){_EN_AROUND}",
        "(?:(?:can|could|will|would) (?:someone|somebody|a manager)(?: please)?|(?:please )?have"
        " (?:someone|somebody)) (?:call|phone|ring) me(?: back)?",
        "(?:please )?(?:get|give) me (?:your|the|an?) (?:manager|supervisor|boss)",
        "(?:no|no more) (?:chat ?)?bots",
        f"(?:{_EN_NEED}) (?:someone|somebody) to (?:call|phone|ring) me(?: back)?",
        f"(?:please )?escalate(?: this| it| me| my (?:case|issue|problem))?(?: to {_EN_SOMEBODY})?",
        f"(?:{_EN_LEAD.replace(' to', '')} )?{_EN_BRING} (?:{_EN_CLEAR}|an? person){_EN_TAIL}",
        f"(?:can|could|would) you(?: please)? (?:connect|transfer|put|pass|forward|hand|get) me"
        f"(?: over| through| on)?(?: to| with)? {_EN_SOMEBODY}{_EN_TAIL}",
        f"(?:please )?(?:connect|transfer|put|pass|forward) me(?: over| through| on)? (?:to|with)"
        f" {_EN_SOMEBODY}{_EN_TAIL}",
        f"(?:{_EN_NEED}) (?:(?:to (?:have|get) )?(?:{_EN_CLEAR}|human help)|an? person"
        f"|(?:someone|somebody) (?:real|human))(?:{_EN_OURS}|{_EN_TAIL_OF_NEED})",
        f"(?:is|are) there (?:{_EN_CLEAR}|an? person|someone|somebody|anyone|anybody) "
        "(?:i (?:can|could) (?:talk|speak|chat) (?:to|with)|to (?:talk|speak|chat) (?:to|with)"
        "|available)",
        f"(?:can|could) (?:{_EN_CLEAR}|an? person|(?:some|any)(?:one"
        "|body) real) (?:please )?(?:help|assist|answer"
        "|call|contact|take over|reply|talk to|speak to)(?: (?:to )?me)?(?: back)?",
        "(?:(?:i )?(?:do not|dont) want|stop|enough|no more)"
        " (?:an? |the |this |with the |with this |of this )?(?:chat ?)?bots?",
        "(?:(?:i )?(?:do not|dont) (?:want|wish|like)(?: to)?|i(?: a)?m not|im (?:done"
        "|tired of|sick of)"
        "|i am (?:done|tired of|sick of)|stop|no more|i refuse to|i wont|i hate)"
        " (?:talk|speak|chat)(?:ing)? (?:to|with) (?:an? |the |this |your )?"
        "(?:machines?|computers?|ai|(?:ro|chat ?)?bots?)",
    ),
    "de": (
        _DE_CLEAR,
        "(?:ich )?(?:moe?chte?n?|will|wue?rde|wue?rde gern(?:e)?|muss|kann|koe?nnte|darf|due?rfte)"
        f"(?: ich| wir)?(?: bitte| gern(?:e)?| lieber| mal| jetzt| sofort)* {_DE_SOMEBODY}"
        f"(?: bitte)? (?:sprechen|reden|schreiben|chatten|telefonieren|verbunden werden)"
        f"(?: koe?nnen)?{_DE_TAIL}",
        f"{_DE_SOMEBODY} (?:sprechen|reden|schreiben|chatten)",
        f"wie (?:kann|koe?nnte) ich {_DE_SOMEBODY} (?:sprechen|reden|schreiben|chatten)",
        f"(?:lass|lassen sie|lasst) mich {_DE_SOMEBODY} (?:sprechen|reden|schreiben)",
        f"(?:ich )?hae?tte (?:ich )?(?:bitte |lieber )?(?:gern|gerne)? ?{_DE_CLEAR}"
        f"(?: gesprochen| am apparat| am telefon)?{_DE_TAIL}",
        "kundenservice|kundendienst|kundensupport|menschlicher (?:support|kundenservice)",
        f"wie erreiche ich (?:bitte |hier )?(?:{_DE_CLEAR}|jemanden|den (?:kundenservice"
        "|kundendienst))",
        f"(?:gibt es|habt ihr|haben sie){_DE_AT} (?:auch )?(?:echte|richtige) (?:menschen"
        "|mitarbeiter)"
        f"{_DE_AT}",
        "(?:rufen sie|ruf|ruft) mich(?: bitte| mal)* (?:an|zurue?ck)",
        "(?:ich )?(?:will|moe?chte|wue?nsche)(?: bitte)? dass mich (?:jemand|ein mitarbeiter"
        "|ein mensch)"
        " (?:anruft|zurue?ckruft|beraet|berat)",
        "(?:ich )?(?:will|moe?chte)(?: bitte| gerne?)? von (?:einem (?:echten )?menschen"
        "|einem mitarbeiter"
        "|einer (?:echten )?person) (?:bedient|beraten|betreut) werden",
        f"(?:ich )?wue?nsche {_DE_CLEAR}",
        f"(?:gibt es|ist|sitzt|habt ihr|haben sie){_DE_AT} (?:auch )?(?:ein(?:e|en)? )"
        "(?:(?:echter?|echten|richtiger?|richtigen|lebendiger|realer?) )?(?:mensch|menschen"
        f"|person zum (?:reden|sprechen)|mitarbeiter(?:in)?|ansprechpartner(?:in)?){_DE_AT}",
        f"(?:gibt es|ist){_DE_AT} (?:jemand|jemanden) (?:echte[sn]|richtige[sn])",
        f"(?:leiten sie|leite|leitet|geben sie|gib|gebt|verbinden sie|verbinde|verbindet) (?:mich"
        f"|uns)(?: bitte| mal| doch)* (?:direkt )?(?:an|zu|mit) (?:{_DE_CLEAR}|jemande[mn])"
        "(?: weiter| durch)?",
        f"(?:leiten sie|leite|leitet) mich(?: bitte)? weiter (?:an|zu) (?:{_DE_CLEAR}|jemande[mn])",
        f"(?:koe?nnen sie|koe?nnten sie|kannst du|koe?nntest du|koe?nnt ihr)(?: mich| uns| bitte)*"
        f" (?:an|zu) (?:{_DE_CLEAR}|jemande[mn]) (?:weiterleiten|durchstellen|weitergeben"
        "|vermitteln)",
        "(?:kann|koe?nnte) (?:mich|uns)(?: bitte| mal)* (?:jemand|ein mitarbeiter"
        "|eine mitarbeiterin)"
        "(?: bitte| mal)* (?:anrufen|zurue?ckrufen)",
        "(?:kann|koe?nnte) mir(?: bitte)? (?:ein (?:echter )?mensch|ein mitarbeiter"
        "|eine mitarbeiterin"
        "|eine echte person) (?:bitte )?(?:weiter)?(?:helfen|antworten|schreiben)",
        "(?:ich )?(?:brauche|will|moe?chte)(?: bitte)? (?:menschliche hilfe"
        "|(?:die )?hilfe von (?:einem"
        " (?:echten )?menschen|einem mitarbeiter|einer mitarbeiterin))",
        f"(?:ich )?(?:brauche|will|moe?chte)(?: bitte| gern(?:e)?)? {_DE_CLEAR}{_DE_TAIL}",
        f"(?:koe?nnen sie|kannst du|koe?nnt ihr|verbinden sie|verbinde|verbindet|geben sie|gib)"
        f"(?: bitte)? (?:mich|mir|uns)(?: bitte| mal)? (?:{_DE_SOMEBODY})(?: verbinden"
        f"| weiterleiten| geben)?{_DE_TAIL}",
        "(?:ich )?(?:will|moe?chte) keinen (?:chat ?)?bot",
        "(?:ich )?(?:will|moe?chte|werde|wue?rde gerne?|habe keine lust)(?: hier)? (?:nicht mit"
        f" (?:(?:eine[mr]|dem|der|so eine[mr]|diesem|dieser) )?|mit keine[mr] ){_DE_BOT}"
        "(?: zu)? (?:sprechen|reden|schreiben|chatten)",
        "(?:ich )?(?:schreibe|rede|spreche|chatte)(?: hier)? nicht mit (?:(?:eine[mr]|dem|der) )?"
        f"{_DE_BOT}",
        "(?:bitte )?kein(?:en)? (?:chat ?)?bot",
    ),
    "fr": (
        _FR_CLEAR,
        f"(?:{_FR_WISH}|puis je|comment (?:puis je|je peux|faire pour|on peut)"
        "|est ce que je (?:peux|pourrais)|est (?:il|ce) possible de|cest possible de"
        "|pourrais je|on peut)"
        "(?: bien)?"
        f"(?: parler| discuter| echanger| etre mis en (?:relation|contact)"
        f"| etre mise en (?:relation|contact)) {_FR_SOMEBODY}{_FR_TAIL}",
        f"parler {_FR_SOMEBODY}{_FR_TAIL}",
        f"(?:passez moi|mettez moi en (?:relation|contact)|transferez moi|je veux|je voudrais"
        f"|il me faut|jai besoin d(?:un|une|e)?) ?{_FR_CLEAR}{_FR_TAIL}",
        "(?:passez moi|mettez moi en (?:relation|contact)|transferez moi)"
        f" {_FR_SOMEBODY}{_FR_TAIL}",
        "(?:est ce que vous )?(?:pouvez|pourriez|peux|peut|pourrais)(?: vous| tu"
        "| on)? (?:bien )?me"
        f" (?:passer|transferer(?: a| vers)?|donner|mettre en (?:relation|contact|lien))"
        f" {_FR_SOMEBODY}{_FR_TAIL}",
        f"(?:puis je|je peux|je pourrais|est ce que je (?:peux|pourrais)|on peut) avoir {_FR_CLEAR}"
        f"{_FR_TAIL}",
        f"(?:{_FR_WISH}) (?:avoir|joindre) (?:{_FR_CLEAR}|un responsable){_FR_TAIL}",
        "je (?:veux|voudrais|souhaite) quelquun de (?:reel|vrai)",
        "(?:est ce )?(?:quun|un) (?:vrai )?(?:humain|conseiller) (?:peut|pourrait)(?: il)? (?:me"
        " (?:repondre|parler|rappeler|contacter)|maider|mappeler)",
        "service client(?:s|ele)?|conseiller clientele|aide humaine",
        "(?:jai )?besoin (?:d(?:un|une) ?(?:vrai |vraie )?(?:humain|conseiller|conseillere"
        "|personne reelle|vraie personne|etre humain)|daide humaine|de laide dun humain)",
        "(?:y a ?t ?il|il y a|est ce quil y a|ya) (?:un (?:vrai )?(?:humain|conseiller)|une vraie"
        " personne|quelquun de (?:reel|vrai))(?: ici| la| de disponible| disponible)?",
        "(?:quelquun|un conseiller|un responsable) (?:peut|pourrait)(?: il)? (?:me|m) ?"
        "(?:appeler|rappeler|contacter par telephone)",
        f"(?:{_FR_WISH}) (?:etre rappele|etre rappelee|quon me rappelle|que quelquun me rappelle"
        "|que quelquun mappelle)",
        "je ne veux pas (?:dun |de |d |un )?(?:chat ?)?bot|pas de (?:chat ?)?bot",
        f"(?:je )?(?:ne )?(?:veux|souhaite|voudrais) pas (?:parler|discuter|echanger) (?:a |avec )?"
        f"{_FR_BOT}",
        f"(?:je )?(?:veux|voudrais) parler (?:a|avec) {_FR_CLEAR} pas (?:a |avec )?{_FR_BOT}",
    ),
    "es": (
        _ES_CLEAR,
        f"(?:yo )?(?:quiero|quisiera|necesito|me gustaria|puedo|podria|prefiero|deseo|debo"
        f"|es posible|como puedo)(?: yo)? (?:hablar|chatear|comunicarme|contactar|conversar)"
        f" {_ES_SOMEBODY}{_ES_TAIL}",
        f"(?:hablar|comunicarme) {_ES_SOMEBODY}{_ES_TAIL}",
        f"(?:quiero|necesito|deseo|busco|paseme(?: con)?|pasame(?: con)?|comuniqueme"
        f"|comunicame) {_ES_CLEAR}{_ES_TAIL}",
        f"(?:me )?(?:puede|puedes|podria|podrias) (?:comunicar|comunicarme|pasar|pasarme|transferir"
        f"|transferirme|conectar|conectarme|poner)(?: en contacto)? {_ES_SOMEBODY}{_ES_TAIL}",
        f"(?:pase|pasa|comunique|comunica|conecte|conecta|transfiera|transfiere)me"
        f" {_ES_SOMEBODY}{_ES_TAIL}",
        f"(?:pongame|ponme|pongan?me|derivame|deriveme|transferirme|conectame)(?: en contacto)?"
        f" {_ES_SOMEBODY}{_ES_TAIL}",
        f"(?:me )?(?:pueden|podrian|puede|podria|puedes|podrias) (?:pasarme|pasar|ponerme|poner"
        f"|comunicarme|comunicar|transferirme|conectarme|derivarme)(?: en contacto)?"
        f" {_ES_SOMEBODY}{_ES_TAIL}",
        f"(?:quiero|quisiera|necesito|me gustaria|prefiero) que me (?:atienda|ayude|responda|llame"
        f"|conteste) {_ES_BY}",
        f"(?:quiero|quisiera|necesito|me gustaria|prefiero) que {_ES_BY} me (?:atienda|responda"
        "|llame|conteste)",
        f"(?:quiero|quisiera|me gustaria|prefiero) ser atendid[oa] por {_ES_BY}",
        "(?:me )?(?:puede|podria) (?:atenderme|atender|llamarme|llamar|ayudarme|ayudar"
        f"|responder) {_ES_BY}",
        "(?:alguien )?me (?:puede|podria|pueden|podrian) llamar(?: por telefono)?"
        "|(?:puede|podria) llamarme alguien|alguien (?:puede|podria) llamarme",
        "(?:atencion|servicio) al cliente|atencion humana|ayuda humana|(?:necesito"
        "|quiero) (?:atencion"
        f"|ayuda) (?:humana|de {_ES_BY})",
        "hay (?:alguien real|algun humano|un humano|una persona real|alguna persona real"
        "|alguien de verdad|algun agente|algun asesor)(?: ahi| aqui| disponible| en linea)?",
        "no quiero (?:un |mas )?(?:chat ?)?bots?",
        f"no quiero (?:hablar|chatear) (?:mas )?con {_ES_BOT}",
    ),
    "pt": (
        _PT_CLEAR,
        f"(?:eu )?(?:quero|queria|gostaria de|preciso|preciso de|posso|poderia|prefiro|desejo"
        f"|como faco para|da para|tem como) (?:falar|conversar|ser atendido|ser atendida"
        f"|ser transferido|ser transferida) {_PT_SOMEBODY}{_PT_TAIL}",
        f"falar {_PT_SOMEBODY}{_PT_TAIL}",
        f"(?:eu )?(?:quero|preciso de|preciso|desejo|chama|chame|me passa|me passe)"
        f" {_PT_CLEAR}{_PT_TAIL}",
        f"(?:me )?(?:pode|poderia) (?:me )?(?:passar|transferir|conectar|encaminhar)"
        f" (?:para )?{_PT_SOMEBODY}{_PT_TAIL}",
        f"(?:me )?(?:passa|passe|transfere|transfira|conecte)(?: me)?(?: para)?"
        f" {_PT_SOMEBODY}{_PT_TAIL}",
        f"(?:eu )?(?:quero|queria|gostaria de|preciso|prefiro) ser atendid[oa] por {_PT_BY}",
        f"(?:eu )?(?:quero|queria|gostaria|preciso|prefiro) que {_PT_BY} me (?:atenda|responda"
        "|ligue|ajude)",
        "(?:atendimento|suporte|atendente|apoio) humano|ajuda humana"
        "|(?:eu )?(?:quero|preciso de|prefiro|queria) (?:um )?(?:atendimento|suporte|apoio) humano"
        f"|(?:eu )?(?:preciso de|quero) ajuda (?:humana|de {_PT_BY})",
        "(?:atendimento|servico|apoio) ao cliente",
        f"(?:me )?(?:coloca|coloque|poe|ponha|liga|ligue)(?: me)? (?:em contato |em contacto )?"
        f"{_PT_SOMEBODY}",
        f"(?:podem|pode|poderiam|poderia) (?:me )?(?:passar|transferir|conectar|encaminhar|colocar)"
        f"(?: me)?(?: em contato| em contacto)? (?:para )?{_PT_SOMEBODY}",
        f"(?:passar|transferir) para {_PT_SOMEBODY}",
        "(?:tem|ha|existe) (?:alguem real|alguma pessoa real|um humano|algum humano|algum atendente"
        "|uma pessoa real|alguem de verdade)(?: ai| aqui| disponivel| online)?",
        "alguem (?:pode|poderia) (?:me ligar|ligar me|me telefonar)|(?:pode|podem) me ligar",
        "nao quero (?:um )?(?:chat ?)?bots?",
        f"nao quero (?:falar|conversar) com {_PT_BOT}",
    ),
    "vi": (
        "nguoi that|nhan vien(?: ho tro| tu van)?|tu van vien|tong dai vien|gap admin|admin",
        f"(?:{_VI_I} )?(?:muon|can|xin|cho {_VI_I}|co the)?(?: duoc)? ?"
        f"(?:gap|noi chuyen(?: truc tiep)? voi|noi chuyen|chat voi|trao doi voi|lien he(?: voi)?"
        f"|ket noi(?: voi)?|tro chuyen voi) {_VI_SOMEBODY}{_VI_TAIL}",
        f"(?:{_VI_I} )?(?:muon|can) (?:nguoi that|nhan vien|tu van vien)(?: ho tro| tu van)?"
        f"(?: {_VI_I})?{_VI_TAIL}",
        f"(?:{_VI_I} )?khong muon (?:noi chuyen|chat|nhan tin) voi (?:bot|robot|may|chatbot|ai)",
        f"(?:hay |lam on |xin |vui long |nho )?(?:ket noi|noi may|chuyen(?: may| tiep)?)"
        f"(?: giup| ho)?(?: {_VI_I})?(?: voi| den| toi| qua| sang| cho)? {_VI_STAFF}{_VI_FAVOUR}",
        f"(?:hay |lam on |xin |nho )?(?:goi|nhan|bao|nho) {_VI_STAFF}(?: (?:tu van|ho tro|tra loi"
        f"|goi lai|vao))?(?: cho| giup| ho)? {_VI_ME}{_VI_FAVOUR}",
        f"(?:{_VI_I} )?(?:muon|can|xin) {_VI_STAFF} (?:tu van|ho tro|tra loi|goi lai)"
        f"(?: truc tiep)?(?: cho)?(?: {_VI_ME})?{_VI_FAVOUR}",
        f"(?:{_VI_I} )?(?:muon|can|xin) (?:duoc )?(?:nguoi that|con nguoi) (?:tu van|ho tro"
        "|tra loi)"
        f"(?: {_VI_ME})?{_VI_FAVOUR}",
        "(?:co )?(?:admin|nhan vien(?: ho tro| tu van)|tu van vien"
        "|nguoi that) (?:nao )?(?:o do |o day"
        " |dang truc |truc |online )?(?:khong|ko|k)",
        "(?:admin|ad|nhan vien|tu van vien) (?:co do|co day|dau roi|oi co do)(?: khong| ko)?",
    ),
    "th": (
        f"(?:คนจริง|คนจริงๆ|มนุษย์|เจ้าหน้าที่|แอดมิน){_TH_END}",
        f"{_TH_I}{_TH_WANT}(?:คุย|พูด|พูดคุย|ติดต่อ|แชท|แชต|สนทนา|สอบถาม)(?:กับ)?{_TH_SOMEBODY}{_TH_END}",
        f"{_TH_I}(?:คุย|พูด|พูดคุย|แชท|แชต|สนทนา)(?:กับ)?{_TH_SOMEBODY}{_TH_END}",
        f"{_TH_I}(?:ติดต่อ|สอบถาม)(?:กับ)?{_TH_STAFF}{_TH_END}",
        f"{_TH_I}(?:ช่วย|รบกวน|ขอ)?(?:ติดต่อ|เรียก|ตาม|โอนสาย|ต่อสาย|โอน|ส่งต่อ|เชื่อมต่อ)(?:ไป)?"
        f"(?:หา|ให้|ไปยัง|กับ|ถึง)?{_TH_STAFF}(?:ให้|มา|มาตอบ|มาคุย)?{_TH_END}",
        f"{_TH_I}(?:ช่วย|ขอ|อยาก|รบกวน)?ให้{_TH_STAFF}(?:ติดต่อกลับ|โทรกลับ|โทรหา|ตอบ|มาตอบ"
        "|มาคุย|ช่วย)"
        f"{_TH_END}",
        "(?:มี)?(?:แอดมิน|เจ้าหน้าที่|พนักงาน)(?:อยู่|ออนไลน์|ตอบ|ว่าง|คอยตอบ)(?:ไหม|มั้ย"
        "|ไม๊|ป่าว|หรือเปล่า|รึเปล่า|บ้างไหม)"
        f"{_TH_END}",
        f"มี(?:แอดมิน|เจ้าหน้าที่|คนจริงๆ?|คนตอบ|มนุษย์)(?:ไหม|มั้ย|ไม๊|บ้างไหม){_TH_END}",
        f"(?:รบกวน|ช่วย|ขอ){_TH_STAFF}(?:ช่วย)?(?:ตอบ|มาตอบ|ติดต่อกลับ|โทรกลับ){_TH_END}",
        f"{_TH_I}ไม่เอา(?:บอท|บอต){_TH_END}",
        f"{_TH_I}(?:ขอ|ต้องการ|เรียก|ขอสาย)(?:คุยกับ|ให้)?"
        f"(?:คนจริง|คนจริงๆ|มนุษย์|เจ้าหน้าที่|แอดมิน|พนักงาน)(?:ตอบ|มาตอบ|ช่วย)?{_TH_END}",
        f"{_TH_I}ไม่(?:อยาก|ต้องการ)(?:คุย|พูด)กับ(?:บอท|บอต|หุ่นยนต์){_TH_END}",
    ),
}
_HEARD = {
    language: re.compile("|".join(f"(?:{sentence})" for sentence in sentences))
    for language, sentences in SENTENCES.items()
}
_POLITE_WORDS = "|".join(
    sorted((word.strip() for word in _POLITE.split("|")), key=len, reverse=True)
)
_BEFORE = re.compile(f"^(?:{_POLITE_WORDS})(?: |$)")
_AFTER = re.compile(f"(?:^| )(?:{_POLITE_WORDS})$")


def asks_for_human(text: str, languages: Iterable[str], phrases: Sequence[str] = ()) -> bool:
    """Whether a message, or a sentence of it, asks for a human and for nothing else.

    Args:
        languages: whose sentences are heard, of those in `SENTENCES`.
        phrases: sentences of the channel's own.
    """
    if len(text) > MOST_CHARACTERS:
        return False
    own = _own(tuple(phrases))
    heard = [_HEARD[language].fullmatch for language in languages if language in _HEARD]

    def asks(sentence: str) -> bool:
        return sentence in own or any(matches(sentence) for matches in heard)

    return any(asks(form) for part in _parts(text) for form in _without_politeness(part))


def plain(text: str) -> str:
    """Words in lower case with one space between; Latin letters without marks."""
    if text.isascii():  # nothing to normalise, no marks: a quarter of the time
        return _OTHER.sub(" ", text.lower().replace("'", "").replace("`", "")).strip()
    lower = unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS)
    bare = _MARKS.sub("", unicodedata.normalize("NFD", _APOSTROPHES.sub("", lower)))
    return _OTHER.sub(" ", unicodedata.normalize("NFC", bare)).strip()


def _parts(text: str) -> Iterator[str]:
    """The whole, its sentences, and what stands between commas.

    One word is a request only as the whole of a message ("Mensch! That is late", "broker, agent
    and dealer"), and less than four are none between commas.
    """
    whole = plain(text)
    yield from _short(whole)
    for sentence in _SENTENCE.split(text)[:MOST_SENTENCES]:
        words = plain(sentence)
        if words != whole and (" " in words or _THAI.search(words)):
            yield from _short(words)
        for part in sentence.split(",")[:MOST_SENTENCES] if "," in sentence else ():
            if (words := plain(part)).count(" ") >= 3:
                yield from _short(words)


def _short(sentence: str) -> Iterator[str]:
    if 0 < len(sentence) <= SENTENCE_CHARACTERS:
        yield sentence


def _without_politeness(sentence: str) -> Iterator[str]:
    """The sentence, and what is left of it as polite words are taken off its ends."""
    yield sentence
    if _THAI.search(sentence):  # spaces where no rule puts them
        yield sentence.replace(" ", "")
    while rest := _AFTER.sub("", _BEFORE.sub("", sentence, count=1)):
        if rest == sentence:
            return
        yield rest
        sentence = rest


@lru_cache(maxsize=1024)
def _own(phrases: tuple[str, ...]) -> frozenset[str]:
    return frozenset(known for phrase in phrases if (known := plain(phrase)))

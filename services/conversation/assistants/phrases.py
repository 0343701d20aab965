"""What the offline assistant says of its own, in the languages it has words for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """`{name}` is the assistant's, `{title}` a section's, `{said}` what a human wrote."""

    hello: str
    i_am: str
    demo: str
    topics: str
    ask: str
    about: str
    unsure: str
    unknown: str
    rest_unknown: str
    welcome: str
    bye: str
    colleague: str


PHRASES = {
    "en": Phrases(
        hello="Hello!",
        i_am="I'm {name}.",
        demo="I'm an offline demo model: I look answers up in what I've been told.",
        topics="I can help you with:",
        ask="Just ask me a question.",
        about="Here's what I know about “{title}”:",
        unsure="I'm not sure that this is what you mean, but here's the closest I know:",
        unknown="Sorry, I don't know that.",
        rest_unknown="The rest of your question I can't answer, sorry.",
        welcome="You're welcome! Is there anything else I can help you with?",
        bye="Goodbye, and have a nice day!",
        colleague="Before me, a colleague of mine wrote to you: {said}",
    ),
    "de": Phrases(
        hello="Hallo!",
        i_am="Ich bin {name}.",
        demo="Ich bin ein Offline-Demomodell: Ich schlage nach, was man mir gesagt hat.",
        topics="Ich helfe gerne weiter bei:",
        ask="Stellen Sie mir einfach eine Frage.",
        about="Das weiß ich über „{title}“:",
        unsure="Ich bin nicht sicher, ob Sie das meinen, aber das kommt dem am nächsten:",
        unknown="Das weiß ich leider nicht.",
        rest_unknown="Den Rest Ihrer Frage kann ich leider nicht beantworten.",
        welcome="Gern geschehen! Kann ich sonst noch etwas für Sie tun?",
        bye="Auf Wiedersehen und einen schönen Tag!",
        colleague="Vor mir hat Ihnen jemand aus unserem Team geschrieben: {said}",
    ),
    "fr": Phrases(
        hello="Bonjour !",
        i_am="Je suis {name}.",
        demo="Je suis un modèle de démonstration hors ligne : je cherche dans ce qu'on m'a appris.",
        topics="Je peux vous renseigner sur :",
        ask="Posez-moi simplement une question.",
        about="Voici ce que je sais sur « {title} » :",
        unsure="Je ne suis pas sûr que ce soit votre question, mais voici le plus proche :",
        unknown="Désolé, je ne le sais pas.",
        rest_unknown="Je ne peux malheureusement pas répondre au reste de votre question.",
        welcome="Avec plaisir ! Puis-je vous aider pour autre chose ?",
        bye="Au revoir et bonne journée !",
        colleague="Avant moi, quelqu'un de notre équipe vous a écrit : {said}",
    ),
    "es": Phrases(
        hello="¡Hola!",
        i_am="Soy {name}.",
        demo="Soy un modelo de demostración sin conexión: busco en lo que me han contado.",
        topics="Puedo ayudarle con:",
        ask="Hágame una pregunta.",
        about="Esto es lo que sé sobre «{title}»:",
        unsure="No estoy seguro de que sea esto lo que pregunta, pero es lo más parecido que sé:",
        unknown="Lo siento, eso no lo sé.",
        rest_unknown="Al resto de su pregunta no puedo responder, lo siento.",
        welcome="¡De nada! ¿Puedo ayudarle en algo más?",
        bye="¡Adiós y que tenga un buen día!",
        colleague="Antes que yo, alguien de nuestro equipo le escribió: {said}",
    ),
    "vi": Phrases(
        hello="Xin chào!",
        i_am="Mình là {name}.",
        demo="Mình là mô hình demo ngoại tuyến: mình tra cứu trong những gì đã được cung cấp.",
        topics="Mình có thể giúp bạn về:",
        ask="Bạn cứ hỏi mình nhé.",
        about="Đây là những gì mình biết về “{title}”:",
        unsure="Mình không chắc đây có phải là điều bạn hỏi, nhưng đây là thông tin gần nhất:",
        unknown="Xin lỗi, mình không biết điều đó.",
        rest_unknown="Phần còn lại của câu hỏi thì mình chưa trả lời được, xin lỗi bạn.",
        welcome="Không có gì ạ! Bạn cần mình giúp gì thêm không?",
        bye="Tạm biệt bạn, chúc bạn một ngày tốt lành!",
        colleague="Trước mình, đồng nghiệp của mình đã viết cho bạn: {said}",
    ),
    "th": Phrases(
        hello="สวัสดีค่ะ!",
        i_am="ฉันชื่อ {name}",
        demo="ฉันเป็นโมเดลสาธิตแบบออฟไลน์ ค้นหาคำตอบจากข้อมูลที่ได้รับมา",
        topics="ฉันช่วยตอบเรื่องเหล่านี้ได้:",
        ask="ถามฉันได้เลยค่ะ",
        about="ข้อมูลเกี่ยวกับ “{title}”:",
        unsure="ไม่แน่ใจว่าตรงกับที่ถามหรือไม่ แต่ข้อมูลที่ใกล้เคียงที่สุดคือ:",
        unknown="ขออภัยค่ะ ฉันไม่ทราบเรื่องนี้",
        rest_unknown="ส่วนที่เหลือของคำถามฉันไม่ทราบ ขออภัยค่ะ",
        welcome="ด้วยความยินดีค่ะ มีอะไรให้ช่วยอีกไหมคะ",
        bye="ลาก่อนค่ะ ขอให้เป็นวันที่ดี!",
        colleague="ก่อนหน้านี้เพื่อนร่วมงานของเราเขียนถึงคุณว่า: {said}",
    ),
    "zh": Phrases(
        hello="你好!",
        i_am="我是{name}。",
        demo="我是离线演示模型:我只在已提供的资料中查找答案。",
        topics="我可以回答这些方面的问题:",
        ask="请直接向我提问。",
        about="关于“{title}”:",
        unsure="我不确定这是不是您想问的,最接近的信息是:",
        unknown="抱歉,这个我不知道。",
        rest_unknown="问题的其余部分我无法回答,抱歉。",
        welcome="不客气!还有什么可以帮您?",
        bye="再见,祝您愉快!",
        colleague="在我之前，我的同事给您写过：{said}",
    ),
}
